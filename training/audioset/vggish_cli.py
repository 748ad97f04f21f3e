"""`gate-train import-vggish`: convert the public VGGish weights for live use."""

from pathlib import Path

from realtime.outputs import check_output
from realtime.vggish_worker import DEFAULT_PATH


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "import-vggish",
        help="convert the public VGGish weights to one ONNX file for live use",
        epilog=(
            "The weights: vggish-10086976.pth, release v0.1 of "
            "github.com/harritaylor/torchvggish. The PCA: "
            "https://storage.googleapis.com/audioset/vggish_pca_params.npz"
        ),
    )
    parser.add_argument("--weights", required=True, help="state dict of the PyTorch port (.pth)")
    parser.add_argument("--pca", required=True, help="vggish_pca_params.npz")
    parser.add_argument("-o", "--output", default=str(DEFAULT_PATH),
                        help=f"where the gate looks for it by itself ({DEFAULT_PATH})")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    return parser


def run(args):
    """Convert; returns the exit code."""
    from training.audioset import vggish

    output = Path(args.output).expanduser()
    check_output(output, "output", [args.weights, args.pca], args.overwrite)
    network = vggish.load_vggish(args.weights)
    model = vggish.VggishToBytes(network, *vggish.load_pca(args.pca))
    vggish.export_vggish(model, output)
    size = output.stat().st_size / 1e6
    print(f"{output}: {size:.1f} MB, patches (n, 96, 64) to embeddings (n, 128)")
    return 0
