"""The judges of every lesson, a module a lesson; `labkit.course.judge` finds and loads them."""
