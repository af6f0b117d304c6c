"""What readers hand in for the exercises of lesson 1.1d: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

from typing import Any, ClassVar

from labkit.lessons.l1_1d.merging_likes import merging_likes
from labkit.lessons.l1_1d.moving_rights import moving_rights
from tests.lessons.handed_in import Exercise

# -- 1.1d-1: rights that move


class QuotaStub:
    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site = site

    def rights(self) -> int:
        raise NotImplementedError

    def take(self, quantity: int) -> bool:
        raise NotImplementedError

    def give(self, to: str, quantity: int) -> bool:
        raise NotImplementedError

    def state(self) -> Any:
        raise NotImplementedError

    def merge(self, state: Any) -> None:
        raise NotImplementedError


class BoundedCounter:
    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site = site
        self.given: dict[tuple[str, str], int] = {
            (a, b): first[a] if a == b else 0 for a in first for b in first
        }
        self.taken: dict[str, int] = dict.fromkeys(first, 0)

    def rights(self) -> int:
        came = sum(count for (_, b), count in self.given.items() if b == self.site)
        went = sum(count for (a, b), count in self.given.items() if a == self.site != b)
        return came - went - self.taken[self.site]

    def take(self, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.taken[self.site] += quantity
        return True

    def give(self, to: str, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.given[self.site, to] += quantity
        return True

    def state(self) -> Any:
        return self.given, self.taken

    def merge(self, state: Any) -> None:
        given, taken = state
        self.given |= {key: max(self.given[key], count) for key, count in given.items()}
        self.taken |= {site: max(self.taken[site], count) for site, count in taken.items()}


class TellsOnlyItsOwn(BoundedCounter):
    """A right one too: who was given something learns it from the giver."""

    def state(self) -> Any:
        return {key: count for key, count in self.given.items() if key[0] == self.site}, {
            self.site: self.taken[self.site]
        }


class AddsWhatItHears(BoundedCounter):
    """The last gift in a letter."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site, self.left = site, first[site]
        self.gift: tuple[str, int] = ("", 0)

    def rights(self) -> int:
        return self.left

    def take(self, quantity: int) -> bool:
        if quantity > self.left:
            return False
        self.left -= quantity
        return True

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.gift = (to, quantity)
        return True

    def state(self) -> Any:
        return self.gift

    def merge(self, state: Any) -> None:
        to, quantity = state
        if to == self.site:
            self.left += quantity


class NumbersItsGifts(AddsWhatItHears):
    """Gifts with a number, each taken once; but every giver counts from 1."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        super().__init__(site, first)
        self.gifts: list[tuple[int, str, int]] = []
        self.seen: set[int] = set()

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.gifts.append((len(self.gifts) + 1, to, quantity))
        return True

    def state(self) -> Any:
        return self.gifts

    def merge(self, state: Any) -> None:
        for number, to, quantity in state:
            if to == self.site and number not in self.seen:
                self.seen.add(number)
                self.left += quantity


class AddsAndForgets(AddsWhatItHears):
    """Told once, the gift is out of the giver's books, arrived or not."""

    def state(self) -> Any:
        gift, self.gift = self.gift, ("", 0)
        return gift


class MaximumOfWhatIsLeft(AddsWhatItHears):
    """The larger of two remainders: what was sold comes back to life."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site, self.all = site, dict(first)

    def rights(self) -> int:
        return self.all[self.site]

    def take(self, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.all[self.site] -= quantity
        return True

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.all[to] += quantity
        return True

    def state(self) -> Any:
        return self.all

    def merge(self, state: Any) -> None:
        self.all = {site: max(count, state[site]) for site, count in self.all.items()}


class Overwrites(BoundedCounter):
    def merge(self, state: Any) -> None:
        self.given, self.taken = state


class OverwritesOthers(BoundedCounter):
    """Its own row is safe; of another's, an old letter undoes a newer one."""

    def merge(self, state: Any) -> None:
        given, taken = state
        self.given |= {key: count for key, count in given.items() if key[0] != self.site}
        self.taken |= {site: count for site, count in taken.items() if site != self.site}


class Sums(BoundedCounter):
    def merge(self, state: Any) -> None:
        given, taken = state
        self.given |= {key: self.given[key] + count for key, count in given.items()}
        self.taken |= {site: self.taken[site] + count for site, count in taken.items()}


class GivesWhatItHasNot(BoundedCounter):
    def give(self, to: str, quantity: int) -> bool:
        self.given[self.site, to] += quantity
        return True


class SellsWhatIsAnywhere(BoundedCounter):
    def rights(self) -> int:
        return sum(count for (a, b), count in self.given.items() if a == b) - sum(
            self.taken.values()
        )


class SharedByAllSites(BoundedCounter):
    """The dictionaries belong to the class: nobody needs to be told anything."""

    given: ClassVar[dict[tuple[str, str], int]] = {}
    taken: ClassVar[dict[str, int]] = {}

    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site = site
        own = BoundedCounter(site, first)
        self.given.update(own.given)
        self.taken.update(own.taken)


class OverwritesAGift(BoundedCounter):
    """Sets the gift to a site, and does not add to it."""

    def give(self, to: str, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.given[self.site, to] = quantity
        return True


class GivesAwayWhatIsSold(BoundedCounter):
    """`give` forgets the sales."""

    def give(self, to: str, quantity: int) -> bool:
        if quantity > self.rights() + self.taken[self.site]:
            return False
        self.given[self.site, to] += quantity
        return True


class SellsOnlyItsFirst(BoundedCounter):
    """What a site was given, it passes on, and does not sell."""

    def take(self, quantity: int) -> bool:
        return quantity <= self.given[self.site, self.site] and super().take(quantity)


class GiftsGivenBack(BoundedCounter):
    """A gift to the giver lowers the giver's own number, which an old message raises again."""

    def give(self, to: str, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        back = min(quantity, self.given[to, self.site])
        self.given[to, self.site] -= back
        self.given[self.site, to] += quantity - back
        return True


class NewestOfAll(BoundedCounter):
    """The last writer wins: one version for all that a site knows."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        super().__init__(site, first)
        self.version = 0

    def take(self, quantity: int) -> bool:
        done = super().take(quantity)
        self.version += done
        return done

    def give(self, to: str, quantity: int) -> bool:
        done = super().give(to, quantity)
        self.version += done
        return done

    def state(self) -> Any:
        return self.version, self.given, self.taken

    def merge(self, state: Any) -> None:
        if state[0] > self.version:
            self.version, self.given, self.taken = state


class KeepsAList(AddsWhatItHears):
    """Tells all gifts, and knows one that it has had by its giver and its quantity."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        super().__init__(site, first)
        self.gifts: list[tuple[str, str, int]] = []
        self.seen: list[tuple[str, str, int]] = []

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.gifts.append((self.site, to, quantity))
        return True

    def state(self) -> Any:
        return self.gifts

    def merge(self, state: Any) -> None:
        for gift in state:
            if gift[1] == self.site and gift not in self.seen:
                self.seen.append(gift)
                self.left += gift[2]


class LogOfGifts:
    """All gifts and sales that a site knows of; it takes over those that it has not yet."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site, self.first = site, dict(first)
        self.log: list[tuple[str, str, int]] = []

    def rights(self) -> int:
        came = sum(count for _, to, count in self.log if to == self.site)
        went = sum(count for giver, _, count in self.log if giver == self.site)
        return self.first[self.site] + came - went

    def take(self, quantity: int) -> bool:
        return self.give("a customer", quantity)

    def give(self, to: str, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.log.append((self.site, to, quantity))
        return True

    def state(self) -> Any:
        return self.log

    def merge(self, state: Any) -> None:
        self.log += [entry for entry in state if entry not in self.log]


class LongestLog(LogOfGifts):
    def merge(self, state: Any) -> None:
        self.log = max(self.log, state, key=len)


class ForgetsWhatArrived(AddsWhatItHears):
    """Numbers its open gifts, and begins to count anew when they have arrived."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        super().__init__(site, first)
        self.open: list[tuple[str, int, str, int]] = []
        self.seen: list[tuple[str, int, str, int]] = []

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.open.append((self.site, len(self.open), to, quantity))
        return True

    def state(self) -> Any:
        return self.open, self.seen

    def merge(self, state: Any) -> None:
        told, arrived = state
        for gift in told:
            if gift[2] == self.site and gift not in self.seen:
                self.seen.append(gift)
                self.left += gift[3]
        self.open = [gift for gift in self.open if gift not in arrived]


class DifferenceToTheLastWord(AddsWhatItHears):
    """Adds what a giver's total has grown by since its last message, which may be an old one."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        super().__init__(site, first)
        self.totals: dict[str, int] = {}
        self.heard: dict[str, int] = {}

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.totals[to] = self.totals.get(to, 0) + quantity
        return True

    def state(self) -> Any:
        return self.site, self.totals

    def merge(self, state: Any) -> None:
        giver, totals = state
        total = totals.get(self.site, 0)
        self.left += max(0, total - self.heard.get(giver, 0))
        self.heard[giver] = total


class PassesOverAsManyAsItKnows(KeepsAList):
    """Takes the gifts beyond those that it has heard of; it counts others' gifts, too."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        super().__init__(site, first)
        self.heard: dict[str, int] = {}

    def state(self) -> Any:
        return self.site, self.gifts

    def merge(self, state: Any) -> None:
        giver, gifts = state
        mine = [count for _, to, count in gifts if to == self.site]
        self.left += sum(mine[self.heard.get(giver, 0) :])
        self.heard[giver] = max(self.heard.get(giver, 0), len(gifts))


class SharedAndNeverCleared(BoundedCounter):
    """The sales belong to the class, and to every run."""

    taken: ClassVar[dict[str, int]] = {}

    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site = site
        self.given = BoundedCounter(site, first).given
        for name in first:
            self.taken.setdefault(name, 0)


class SaysNothing(BoundedCounter):
    def take(self, quantity: int) -> Any:
        super().take(quantity)


class ForgetsAKey(BoundedCounter):
    def merge(self, state: Any) -> None:
        super().merge((state[0], {"south": state[1]["south"]}))


class RightsInWords(BoundedCounter):
    def rights(self) -> Any:
        return str(super().rights())


# -- 1.1d-2: a like can be taken back


class LikesStub:
    def __init__(self, site: str) -> None:
        self.site = site

    def add(self) -> None:
        raise NotImplementedError

    def remove(self) -> None:
        raise NotImplementedError

    def value(self) -> int:
        raise NotImplementedError

    def state(self) -> Any:
        raise NotImplementedError

    def merge(self, state: Any) -> None:
        raise NotImplementedError


class TwoGrowingCounters:
    def __init__(self, site: str) -> None:
        self.site = site
        self.added: dict[str, int] = {}
        self.removed: dict[str, int] = {}

    def add(self) -> None:
        self.added[self.site] = self.added.get(self.site, 0) + 1

    def remove(self) -> None:
        self.removed[self.site] = self.removed.get(self.site, 0) + 1

    def value(self) -> int:
        return sum(self.added.values()) - sum(self.removed.values())

    def state(self) -> Any:
        return self.added, self.removed

    def merge(self, state: Any) -> None:
        for mine, told in zip((self.added, self.removed), state, strict=True):
            for site, count in told.items():
                mine[site] = max(mine.get(site, 0), count)


class NamedEvents:
    """Right, and grows with every like."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.events: dict[tuple[str, int], int] = {}

    def add(self) -> None:
        self._note(1)

    def remove(self) -> None:
        self._note(-1)

    def _note(self, change: int) -> None:
        number = sum(site == self.site for site, _ in self.events)
        self.events[self.site, number] = change

    def value(self) -> int:
        return sum(self.events.values())

    def state(self) -> Any:
        return self.events

    def merge(self, state: Any) -> None:
        self.events |= state


class VersionedSums:
    """Right: a site's own sum, with a number that grows at each change."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.sums: dict[str, tuple[int, int]] = {}

    def add(self) -> None:
        self._change(1)

    def remove(self) -> None:
        self._change(-1)

    def _change(self, by: int) -> None:
        version, count = self.sums.get(self.site, (0, 0))
        self.sums[self.site] = (version + 1, count + by)

    def value(self) -> int:
        return sum(count for _, count in self.sums.values())

    def state(self) -> Any:
        return self.sums

    def merge(self, state: Any) -> None:
        for site, told in state.items():
            self.sums[site] = max(self.sums.get(site, (0, 0)), told)


class EventsNumberedByLength(NamedEvents):
    """Right too: what a site has of its own never shrinks, so its next number is always new."""

    def _note(self, change: int) -> None:
        self.events[self.site, len(self.events)] = change


class OneCountPerSite:
    """The lesson's counter with a count that also goes down."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.counts: dict[str, int] = {}

    def add(self) -> None:
        self.counts[self.site] = self.counts.get(self.site, 0) + 1

    def remove(self) -> None:
        self.counts[self.site] = self.counts.get(self.site, 0) - 1

    def value(self) -> int:
        return sum(self.counts.values())

    def state(self) -> Any:
        return self.counts

    def merge(self, state: Any) -> None:
        for site, count in state.items():
            self.counts[site] = max(self.counts.get(site, count), count)


class LastWordOfOthers(OneCountPerSite):
    """Its own count is safe; an old message of another site undoes a newer one."""

    def merge(self, state: Any) -> None:
        self.counts |= {site: count for site, count in state.items() if site != self.site}


class LastWord(OneCountPerSite):
    def merge(self, state: Any) -> None:
        self.counts |= state


class LastWordOfTheTeller(OneCountPerSite):
    """Takes only the teller's own count from a message, and the newest message that it gets."""

    def state(self) -> Any:
        return self.site, self.counts.get(self.site, 0)

    def merge(self, state: Any) -> None:
        site, count = state
        self.counts[site] = count


class AddsUp(OneCountPerSite):
    def merge(self, state: Any) -> None:
        for site, count in state.items():
            self.counts[site] = self.counts.get(site, 0) + count


class TellsWhatIsNew(OneCountPerSite):
    """Tells each change once, and a message that is lost takes it along."""

    def __init__(self, site: str) -> None:
        super().__init__(site)
        self.new = 0

    def add(self) -> None:
        super().add()
        self.new += 1

    def remove(self) -> None:
        super().remove()
        self.new -= 1

    def state(self) -> Any:
        new, self.new = self.new, 0
        return self.site, new

    def merge(self, state: Any) -> None:
        site, new = state
        self.counts[site] = self.counts.get(site, 0) + new


class OneNumber(OneCountPerSite):
    def add(self) -> None:
        self.counts["all"] = self.counts.get("all", 0) + 1

    def remove(self) -> None:
        self.counts["all"] = self.counts.get("all", 0) - 1


class TwoNumbers(TwoGrowingCounters):
    """Two counters that only grow, but not by site."""

    def __init__(self, site: str) -> None:
        super().__init__("all")


class NeverBelowZero(TwoGrowingCounters):
    """The sum may be below zero for a while, when a removal is known before its like."""

    def remove(self) -> None:
        if self.value() > 0:
            super().remove()


class NeverBelowZeroHere(TwoGrowingCounters):
    """Takes back only what this site has counted."""

    def remove(self) -> None:
        if self.added.get(self.site, 0) > self.removed.get(self.site, 0):
            super().remove()


class ShowsNoDebt(TwoGrowingCounters):
    def value(self) -> int:
        return max(0, super().value())


class SharedCounters(TwoGrowingCounters):
    """The dictionaries belong to the class, and with it to all three sites."""

    added: ClassVar[dict[str, int]] = {}
    removed: ClassVar[dict[str, int]] = {}

    def __init__(self, site: str) -> None:
        self.site = site
        if site == "east":
            self.added.clear()
            self.removed.clear()


class RemovalsOverwritten(TwoGrowingCounters):
    def merge(self, state: Any) -> None:
        super().merge((state[0], {}))
        self.removed |= state[1]


class RemovalsForgotten(TwoGrowingCounters):
    def merge(self, state: Any) -> None:
        super().merge((state[0], {}))


class OnlyKnownSites(TwoGrowingCounters):
    """Takes over what it hears of sites that it has heard of before."""

    def merge(self, state: Any) -> None:
        for mine, told in zip((self.added, self.removed), state, strict=True):
            for site, count in told.items():
                if site in mine:
                    mine[site] = max(mine[site], count)


class SmallerRemovals(TwoGrowingCounters):
    def merge(self, state: Any) -> None:
        super().merge((state[0], {}))
        for site, count in state[1].items():
            self.removed[site] = min(self.removed.get(site, count), count)


class SetOfLikes:
    """A removal takes a like away that the next message brings back."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.likes: list[tuple[str, int]] = []
        self.count = 0

    def add(self) -> None:
        self.count += 1
        self.likes.append((self.site, self.count))

    def remove(self) -> None:
        if self.likes:
            self.likes.pop()

    def value(self) -> int:
        return len(self.likes)

    def state(self) -> Any:
        return self.likes

    def merge(self, state: Any) -> None:
        self.likes += [like for like in state if like not in self.likes]


class LikesAndTombstones(SetOfLikes):
    """Two sites may take back the same like."""

    def __init__(self, site: str) -> None:
        super().__init__(site)
        self.gone: list[tuple[str, int]] = []

    def remove(self) -> None:
        left = [like for like in self.likes if like not in self.gone]
        self.gone.append(left[-1] if left else (self.site, -1 - len(self.gone)))

    def value(self) -> int:
        return len(self.likes) - len(self.gone)

    def state(self) -> Any:
        return self.likes, self.gone

    def merge(self, state: Any) -> None:
        likes, gone = state
        super().merge(likes)
        self.gone += [like for like in gone if like not in self.gone]


class TakesBackAKnownLike(TwoGrowingCounters):
    """Takes back a like in the name of the site that counted it, as another may do, too."""

    def remove(self) -> None:
        for site, count in self.added.items():
            if count > self.removed.get(site, 0):
                self.removed[site] = self.removed.get(site, 0) + 1
                return
        super().remove()


class EventsByContent(NamedEvents):
    """An event is known by its site and the sum that it found."""

    def _note(self, change: int) -> None:
        self.events[self.site, self.value()] = change


class NewestRemoval(TwoGrowingCounters):
    """Of another site's removals, the last word counts, which may be an old one."""

    def state(self) -> Any:
        return self.site, self.added.get(self.site, 0), self.removed.get(self.site, 0)

    def merge(self, state: Any) -> None:
        site, added, removed = state
        self.added[site] = max(added, self.added.get(site, 0))
        self.removed[site] = removed


class VersionOfLikesOnly(VersionedSums):
    def remove(self) -> None:
        version, count = self.sums.get(self.site, (0, 0))
        self.sums[self.site] = (version, count - 1)


class ValueInWords(TwoGrowingCounters):
    def value(self) -> Any:
        return str(super().value())


class MergesAPair(TwoGrowingCounters):
    def state(self) -> Any:
        return self.added

    def merge(self, state: Any) -> None:
        added, removed = state["added"], state["removed"]
        super().merge((added, removed))


EXERCISES = (
    Exercise(
        "1.1d-1",
        scenarios=(moving_rights,),
        stub=QuotaStub,
        to_write="rights, take, give, state, merge",
        right=(BoundedCounter,),
        right_too=(TellsOnlyItsOwn,),
        wrong={
            AddsWhatItHears: "merged what it was told",
            NumbersItsGifts: (
                "when everybody has told everybody, east 5, north 1 and west 2 may be sold"
            ),
            AddsAndForgets: "that is more than 10",
            MaximumOfWhatIsLeft: (
                "after west merged what it was told, east 6, north 2 and west 4 may be "
                "sold: with 0 sold that is more than 10"
            ),
            Overwrites: "that is more than 10",
            OverwritesOthers: "north merged what it was told, and its rights went from 3 to 2",
            Sums: "after east merged what it was told",
            GivesWhatItHasNot: "west had 1, and give(2) returned True",
            SharedByAllSites: "was told nothing, and its rights went from",
            SellsWhatIsAnywhere: (
                "after east gave 1 to north, east 10, north 0 and west 4 may be sold: "
                "with 0 sold that is more than 10"
            ),
            OverwritesAGift: "that is more than 10",
            GivesAwayWhatIsSold: "west had 1, and give(2) returned True",
            SellsOnlyItsFirst: "north had 2, and take(1) returned False",
            GiftsGivenBack: "and it should be",
            NewestOfAll: "that is more than 10",
            KeepsAList: "and it should be",
            LogOfGifts: "and it should be",
            LongestLog: "that is more than 10",
            ForgetsWhatArrived: "and it should be",
            DifferenceToTheLastWord: "that is more than 10",
            PassesOverAsManyAsItKnows: "and it should be",
        },
        raising={
            ForgetsAKey: (
                'in ForgetsAKey.merge:  super().merge((state[0], {"south": state[1]["south"]}))'
            ),
        },
        odd={
            SaysNothing: "take must return True or False, it returned None",
            RightsInWords: "rights must return an int, it returned '6'",
        },
    ),
    Exercise(
        "1.1d-2",
        scenarios=(merging_likes,),
        stub=LikesStub,
        to_write="add, remove, value, state, merge",
        right=(TwoGrowingCounters,),
        right_too=(NamedEvents, EventsNumberedByLength, VersionedSums),
        wrong={
            OneCountPerSite: "1 likes, 1 taken back: east counts 1, not 0",
            LastWordOfOthers: "1 likes, 1 taken back: east counts 1, not 0",
            LastWord: "1 likes, 1 taken back: east counts 1, not 0",
            LastWordOfTheTeller: "1 likes, 1 taken back: east counts 1, not 0",
            AddsUp: "2 likes, 1 taken back: east counts 3, not 1",
            TellsWhatIsNew: "2 likes, 1 taken back: north counts 2, not 1",
            OneNumber: "3 likes, 0 taken back: east counts 2, not 3",
            TwoNumbers: "2 likes, 1 taken back: east counts 0, not 1",
            NeverBelowZero: "2 likes, 1 taken back: east counts 2, not 1",
            NeverBelowZeroHere: "2 likes, 1 taken back: east counts 2, not 1",
            ShowsNoDebt: "0 likes, 3 taken back: east counts 0, not -3",
            SharedCounters: "north was told nothing, and its value changed from 0 to 1",
            RemovalsOverwritten: "0 likes, 2 taken back",
            RemovalsForgotten: "2 likes, 1 taken back: east counts 2, not 1",
            OnlyKnownSites: "2 likes, 1 taken back: west counts -1, not 1",
            SmallerRemovals: "0 likes, 2 taken back",
            SetOfLikes: "2 likes, 1 taken back: east counts 2, not 1",
            LikesAndTombstones: "2 likes, 2 taken back: east counts 1, not 0",
            TakesBackAKnownLike: "2 likes, 2 taken back: east counts 1, not 0",
            EventsByContent: "taken back",
            NewestRemoval: "taken back",
            VersionOfLikesOnly: "taken back",
        },
        raising={
            MergesAPair: 'in MergesAPair.merge:  added, removed = state["added"], state["removed"]',
        },
        odd={
            ValueInWords: "value must return an int, it returned '0'",
        },
    ),
)
