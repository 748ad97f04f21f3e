"""The recordings: what there are, how they are read, where they sound, and rooms.

    manifest.py   what there is: `read_manifest` gives one `Entry` a recording
    decode.py     samples of a file: `read_mono`, `resample`
    cache.py      all of them, decoded once into one memory-mapped file: `Corpus`
    labels.py     where a recording sounds, by its own energy and by a teacher
    rooms.py      impulse responses: measured, simulated, made of noise
    clips.py      one recording of an evaluation set, with what is wanted in it
    mixtures.py   the evaluation sets: seeded mixtures, meetings, sound without speech
    labelled.py   a user's folder of labelled recordings as such a set

Training and benchmarks both read their recordings here. Nothing here needs torch.
"""
