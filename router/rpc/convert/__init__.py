"""Between the messages of router.v1 and the values of the domain, both ways.

What comes in is checked on the way: each function takes a :class:`router.rpc.validate.Check` and notes faults there;
its result counts only after ``check.done()``.
"""
