"""The judges of every lesson, a module an exercise; `labkit.course.judge` finds and loads them."""
