"""`proofloop compare`: what training did to a policy, beside what chance alone would have shown.

`sides` brings the policies together on the tasks that all of them attempted, or refuses; every
other file is one section of the answer; `page` shows them.
"""
