"""What others would say of the same runs: their published rules, restated over the statistics that our traces hold.

Every module names its source, the cause of our catalogue that each of its symptoms stands for (the one that serves it
best where several would do), and the rules that our traces cannot express. Rules that could be expressed in part only
are written so that they err on the side of silence.
"""
