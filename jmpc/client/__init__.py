"""What owners and receivers call: a cluster of parties that run elsewhere, values stored there, programs run on them.

    cluster = jmpc.connect("study", identity="hospital-a")
    cluster.put(rows, name="rows")
    with cluster:
        score = predict(jmpc.stored("model"), x)

A client never sees another's data, and holds no share of anything but its own. It is in no party's trust.
"""
