"""A verdict is a value: only `holds` is true, and it prints what was claimed and why it is so."""

from __future__ import annotations

from labkit.check import Invariant, Verdict


def test_only_a_verdict_that_holds_is_true() -> None:
    assert Verdict("holds", "stock is never below zero")
    assert not Verdict("broken", "stock is never below zero")
    assert not Verdict("unknown", "stock is never below zero")


def test_a_sentence_of_evidence_stands_in_brackets_and_lines_of_it_below() -> None:
    assert repr(Verdict("holds", "sums agree")) == "HOLDS: sums agree"
    assert repr(Verdict("broken", "sums agree", "3 is not 4")) == "BROKEN: sums agree (3 is not 4)"
    assert (
        repr(Verdict("broken", "sums agree", "3 sold\n4 paid"))
        == "BROKEN: sums agree\n  3 sold\n  4 paid"
    )


def test_an_invariant_prints_its_claim_and_no_address() -> None:
    assert repr(Invariant("sums agree", lambda run: True)) == "Invariant(claim='sums agree')"


def test_an_invariant_takes_true_or_nothing_as_holding() -> None:
    assert Invariant("sums agree", lambda run: True).check(None)
    assert Invariant("sums agree", lambda run: None).check(None)


def test_an_invariant_takes_a_sentence_as_what_is_wrong() -> None:
    verdict = Invariant(
        "no oversale", lambda sold: f"{sold} sold of 1" if sold > 1 else None
    ).check(2)
    assert (verdict.status, verdict.evidence) == ("broken", "2 sold of 1")
    assert Invariant("no oversale", lambda sold: sold <= 1).check(2).status == "broken"


def test_an_invariant_may_hand_on_the_verdict_of_a_checker() -> None:
    unknown = Verdict("unknown", "linearizable", "budget spent")
    assert Invariant("the lock is linearizable", lambda run: unknown).check(None) is unknown
