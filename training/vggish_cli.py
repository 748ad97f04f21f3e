"""`gate-train import-vggish`: convert the public VGGish weights for live use."""

import os


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "import-vggish",
        help="convert the public VGGish weights to one ONNX file for live use",
        description="Convert the public VGGish weights and PCA parameters to one ONNX file.",
        epilog=(
            "The weights: vggish-10086976.pth, release v0.1 of "
            "github.com/harritaylor/torchvggish. The PCA: "
            "https://storage.googleapis.com/audioset/vggish_pca_params.npz"
        ),
    )
    parser.add_argument("--weights", required=True, help="state dict of the PyTorch port (.pth)")
    parser.add_argument("--pca", required=True, help="vggish_pca_params.npz")
    parser.add_argument("-o", "--output", default="vggish.onnx", help="(vggish.onnx)")
    return parser


def run(args):
    """Convert; returns the exit code."""
    from training import vggish

    network = vggish.load_vggish(args.weights)
    model = vggish.VggishToBytes(network, *vggish.load_pca(args.pca))
    vggish.export_vggish(model, args.output)
    size = os.path.getsize(args.output) / 1e6
    print(f"{args.output}: {size:.1f} MB, patches (n, 96, 64) to embeddings (n, 128)")
    return 0
