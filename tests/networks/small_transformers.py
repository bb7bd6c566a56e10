"""Folders as the model pages of GroundingDINO, SAM and ViTMatte have them, of networks with a few thousand random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "hair", "face")


def write_folders(root: Path) -> list[Path]:
    """The three weight files, each in its folder."""
    torch.manual_seed(0)
    made = {"grounding-dino": _detector(root), "sam": _segmenter(), "vitmatte": _matter()}
    for name, (processor, model) in made.items():
        processor.save_pretrained(root / name)
        model.save_pretrained(root / name, safe_serialization=True)
    return [root / name / "model.safetensors" for name in made]


def _detector(root: Path) -> tuple[Any, Any]:
    import transformers as tf

    words = root / "vocab.txt"
    words.write_text("\n".join(VOCABULARY), encoding="utf-8")
    pictures = tf.GroundingDinoImageProcessor(size={"shortest_edge": 160, "longest_edge": 160})
    swin = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 7, "image_size": 64}
    text = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16}
    config = tf.GroundingDinoConfig(
        backbone_config=tf.SwinConfig(**swin, out_features=["stage2", "stage3", "stage4"]),
        text_config=tf.BertConfig(**text, vocab_size=len(VOCABULARY)),
        **{"d_model": 32, "num_queries": 5, "num_feature_levels": 4, "encoder_n_points": 2, "decoder_n_points": 2},
        **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 4 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")},
    )
    processor = tf.GroundingDinoProcessor(pictures, tf.BertTokenizerFast(str(words)))
    return processor, tf.GroundingDinoForObjectDetection(config)


def _segmenter() -> tuple[Any, Any]:
    import transformers as tf

    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 32, "output_channels": 16}
    shape = {"image_size": 64, "patch_size": 16}
    config = tf.SamConfig(
        vision_config=tf.SamVisionConfig(**vision, **shape, global_attn_indexes=[1], window_size=2, num_pos_feats=8),
        prompt_encoder_config=tf.SamPromptEncoderConfig(hidden_size=16, mask_input_channels=4, **shape),
        mask_decoder_config=tf.SamMaskDecoderConfig(
            hidden_size=16, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=16
        ),
    )
    pictures = tf.SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    return tf.SamProcessor(pictures), tf.SamModel(config)


def _matter() -> tuple[Any, Any]:
    import transformers as tf

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}
    backbone = tf.VitDetConfig(**sizes, num_channels=4, out_features=["stage2"])
    config = tf.VitMatteConfig(
        backbone_config=backbone, hidden_size=16, fusion_hidden_sizes=[16, 16, 16, 16], convstream_hidden_sizes=[8, 16, 24]
    )
    return tf.VitMatteImageProcessor(), tf.VitMatteForImageMatting(config)
