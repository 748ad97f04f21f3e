from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from refusals import refuses

from gate.errors import ConfigError, ModelError
from gate.features import VGGISH_LOG_OFFSET, MelSettings, log_mel_spectrogram
from training import cli
from training.audioset import vggish

YAMNET = Path(__file__).parents[3] / "shared" / "data" / "yamnet"
SMALL = ((2, 3, 4, 4, 5, 6), 8)


def small_network(seed=0):
    torch.manual_seed(seed)
    return vggish.Vggish(*SMALL).eval()


def write_inputs(folder, state=None):
    torch.save(small_network().state_dict() if state is None else state, folder / "v.pth")
    rng = np.random.default_rng(0)
    matrix, means = rng.standard_normal((128, 128)) * 3, rng.standard_normal((128, 1)) * 0.1
    np.savez(folder / "pca.npz", pca_eigen_vectors=matrix, pca_means=means)
    return matrix, means[:, 0]


def test_the_published_layout_of_parameters():
    shapes = {name: tuple(p.shape) for name, p in vggish.Vggish().state_dict().items()}
    convolutions = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256),
                    13: (512, 512)}  # fmt: skip
    dense = {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}
    expected = {f"features.{i}.weight": (*s, 3, 3) for i, s in convolutions.items()}
    expected |= {f"features.{i}.bias": s[:1] for i, s in convolutions.items()}
    expected |= {f"embeddings.{i}.weight": s for i, s in dense.items()}
    expected |= {f"embeddings.{i}.bias": s[:1] for i, s in dense.items()}
    assert shapes == expected


def test_dense_layers_read_time_band_channel():
    network = small_network()
    patches = torch.randn(2, 96, 64)
    planes = network.features(patches[:, None]).detach().numpy()
    by_hand = np.stack([p.transpose(1, 2, 0).reshape(-1) for p in planes])
    expected = network.embeddings(torch.from_numpy(by_hand))
    torch.testing.assert_close(network(patches), expected)


@pytest.mark.parametrize(
    ("value", "byte"),
    [(-9.0, 0), (-2.0, 0), (0.0, 127), (0.01, 128), (1.0, 191), (2.0, 255), (9.0, 255)],
)
def test_the_quantiser_follows_the_published_formula(value, byte):
    class Constant(torch.nn.Module):
        def forward(self, patches):
            return torch.full((1, 128), value)

    model = vggish.VggishToBytes(Constant(), np.eye(128), np.zeros(128))
    assert model(None).unique().tolist() == [byte]


def test_pca_subtracts_means_then_multiplies_rows(tmp_path):
    matrix, means = write_inputs(tmp_path)
    model = vggish.VggishToBytes(small_network(), *vggish.load_pca(tmp_path / "pca.npz")).eval()
    patches = torch.randn(4, 96, 64)
    embeddings = small_network()(patches).detach().numpy().astype(np.float64)
    whitened = (matrix @ (embeddings.T - means[:, None])).T
    expected = ((np.clip(whitened, -2, 2) + 2) * 255 / 4).astype(np.uint8)
    got = model(patches).detach().numpy()
    # float32 against float64 may fall on either side of a step.
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert (got == expected).mean() > 0.99


def test_import_vggish_makes_an_onnx_that_agrees(tmp_path, capsys):
    write_inputs(tmp_path, small_network().state_dict() | {"pproc.pca_means": torch.zeros(128)})
    out = tmp_path / "new" / "vggish.onnx"
    arguments = ["--weights", str(tmp_path / "v.pth"), "--pca", str(tmp_path / "pca.npz")]
    assert cli.main(["import-vggish", *arguments, "-o", str(out)]) == 0
    assert "embeddings (n, 128)" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    patches = np.random.default_rng(1).standard_normal((2, 96, 64)).astype(np.float32)
    got = session.run(None, {"patches": patches})[0]
    model = vggish.VggishToBytes(small_network(), *vggish.load_pca(tmp_path / "pca.npz")).eval()
    expected = model(torch.from_numpy(patches)).detach().numpy()
    assert got.dtype == np.uint8 and got.shape == (2, 128)
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert session.get_modelmeta().custom_metadata_map["log_offset"] == "0.01"


def test_a_missing_file_says_where_the_weights_come_from(tmp_path, capsys):
    arguments = ["--weights", str(tmp_path / "no.pth"), "--pca", str(tmp_path / "no.npz")]
    said = "torchvggish.*vggish_pca_params.npz"
    refuses(cli.main, ["import-vggish", *arguments], 2, said, capsys)


def test_other_files_are_refused(tmp_path):
    write_inputs(tmp_path, {"features.0.weight": torch.zeros(2, 1, 3, 3)})
    with pytest.raises(ModelError, match=r"are \(1, 0\), VGGish has \(6, 3\)"):
        vggish.load_vggish(tmp_path / "v.pth")
    (tmp_path / "v.pth").write_bytes(b"not a state dict")
    with pytest.raises(ModelError, match="can be read safely"):
        vggish.load_vggish(tmp_path / "v.pth")
    np.savez(tmp_path / "pca.npz", pca_eigen_vectors=np.eye(4), pca_means=np.zeros(4))
    with pytest.raises(ModelError, match="must be of 128"):
        vggish.load_pca(tmp_path / "pca.npz")
    with pytest.raises(ConfigError, match="pca="):
        vggish.load_pca(tmp_path / "none.npz")


def test_code_in_a_pickle_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    torch.save({"features.0.weight": Trap()}, tmp_path / "v.pth")
    with pytest.raises(ModelError, match="read safely"):
        vggish.load_vggish(tmp_path / "v.pth")
    assert not (tmp_path / "trapped").exists()


def test_frontend_matches_the_published_yamnet_vector():
    audio, spectra = (YAMNET / f"coral_yamnet_test_{n}.bin" for n in ("audio", "spectra"))
    if not spectra.is_file():
        pytest.skip(f"no YAMNet test vectors in {YAMNET}")
    samples = np.fromfile(audio, dtype="<i2").astype(np.float32) / 32768.0
    expected = np.fromfile(spectra, dtype="<f4").reshape(96, 64)
    # The vector was made from the sound scaled to a peak of 1, with VGGish's own offset. Its
    # frame j is samples 160 j .. 160 j + 400; 80 zeros before make that our hop j + 2.
    samples = np.pad(samples / np.abs(samples).max(), (80, 0))
    samples = np.pad(samples, (0, 160))
    got = log_mel_spectrogram(samples, MelSettings(log_offset=VGGISH_LOG_OFFSET))[2:98]
    # float32 against float32; the frame after the last sample is partly padding on both sides.
    np.testing.assert_allclose(got, expected, atol=1e-4)
