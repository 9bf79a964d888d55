"""What one would write in an afternoon: Flask, RQ's own worker, aioapns and pyfcm called in the job.

It verifies the signature, queues a job for each event and rings every device of every member, and no more: no state of
the call, no repetition, no fence, no record. bench/whole.py measures it beside Bellhop.
"""
