"""Audio files in and out.

| file | what it is |
|---|---|
| `formats` | names, containers, sample formats; what converts to what |
| `examine`, `structure` | what a file really holds, whatever its header says |
| `iff`, `au_caf`, `flac`, `ogg`, `mp3` | the same, format by format |
| `reader`, `writer` | `AudioReader`, `AudioWriter` |
| `metadata` | tags, pictures and chunks, carried over as they are |
| `pipes` | sound on standard input and output |
| `inputs` | the files that a command line names |

How outputs are written, whole or not at all, is `realtime.outputs`.
"""

from realtime.files.formats import AUDIO_SUFFIXES, AudioInfo
from realtime.files.inputs import expand_inputs
from realtime.files.reader import AudioReader
from realtime.files.writer import AudioWriter
from realtime.outputs import check_output, write_bytes, write_text

__all__ = [
    "AUDIO_SUFFIXES",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "check_output",
    "expand_inputs",
    "write_bytes",
    "write_text",
]
