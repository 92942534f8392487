"""Models of transformers, tiny and with random weights: training steps, generation, loading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jupyter_skytorch import Compute

VOCABULARY = 99
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
# Weights large enough that logits differ by more than rounding does.
SPREAD = 0.2


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, shape)


def padded(left: bool) -> torch.Tensor:
    """A mask [2, 12] whose first row has nine tokens."""
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[0, slice(0, 3) if left else slice(9, 12)] = 0
    return mask


def gpt2(attention: str) -> transformers.PreTrainedModel:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=SPREAD, **SPECIAL
    )
    return transformers.GPT2LMHeadModel._from_config(config, attn_implementation=attention)


def bert(attention: str) -> transformers.PreTrainedModel:
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        num_labels=3, initializer_range=SPREAD,
    )  # fmt: skip
    return transformers.BertForSequenceClassification._from_config(config, attn_implementation=attention)


def llama(attention: str) -> transformers.PreTrainedModel:
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, max_position_embeddings=64, initializer_range=SPREAD, **SPECIAL,
    )  # fmt: skip
    return transformers.LlamaForCausalLM._from_config(config, attn_implementation=attention)


def t5(attention: str) -> transformers.PreTrainedModel:
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0,
        **SPECIAL,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration._from_config(config, attn_implementation=attention)


def vit(attention: str) -> transformers.PreTrainedModel:
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=16, patch_size=4,
        num_labels=3, initializer_range=SPREAD,
    )  # fmt: skip
    return transformers.ViTForImageClassification._from_config(config, attn_implementation=attention)


def whisper(attention: str) -> transformers.PreTrainedModel:
    config = transformers.WhisperConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=8, max_source_positions=30,
        max_target_positions=40, decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None,
        init_std=SPREAD, **SPECIAL,
    )  # fmt: skip
    return transformers.WhisperForConditionalGeneration._from_config(config, attn_implementation=attention)


def text() -> dict[str, torch.Tensor]:
    return {"input_ids": tokens(2, 12), "attention_mask": padded(left=True)}


#: A model, and what goes into it; labels are added where a loss is wanted.
MODELS: dict[str, tuple[Callable[[str], transformers.PreTrainedModel], Callable[[], dict[str, torch.Tensor]]]] = {
    "gpt2": (gpt2, text),
    "bert": (bert, lambda: {"input_ids": tokens(2, 12), "attention_mask": padded(left=False)}),
    "llama": (llama, text),
    "t5": (t5, lambda: {"input_ids": tokens(2, 12), "attention_mask": padded(left=False)}),
    "vit": (vit, lambda: {"pixel_values": torch.randn(2, 3, 16, 16)}),
    "whisper": (whisper, lambda: {"input_features": torch.randn(2, 8, 60)}),
}
LABELS: dict[str, Callable[[], torch.Tensor]] = {
    "gpt2": lambda: tokens(2, 12),
    "bert": lambda: torch.tensor([0, 2]),
    "llama": lambda: tokens(2, 12),
    "t5": lambda: tokens(2, 7),
    "vit": lambda: torch.tensor([0, 2]),
    "whisper": lambda: tokens(2, 7),
}
GENERATE: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "sampled": {"do_sample": True, "temperature": 0.8, "top_k": 20, "top_p": 0.9},
    "beams": {"do_sample": False, "num_beams": 3},
    "without a cache": {"do_sample": False, "use_cache": False},
    "static cache": {"do_sample": False, "cache_implementation": "static"},
}


def moved(inputs: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def step(name: str, attention: str, device: torch.device) -> tuple[transformers.PreTrainedModel, Any]:
    make, inputs = MODELS[name]
    model = make(attention).to(device).train()
    batch = moved({**inputs(), "labels": LABELS[name]()}, device)
    torch.manual_seed(1)  # for dropout
    output = model(**batch)
    output.loss.backward()
    return model, output


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_a_training_step(name: str, attention: str, same: Callable[..., None]) -> None:
    def run(device: torch.device) -> Any:
        model, output = step(name, attention, device)
        gradients = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
        return output.loss, output.logits, gradients

    same(run)


@pytest.mark.parametrize("how", GENERATE)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "whisper"])
def test_generate(name: str, attention: str, how: str, same: Callable[..., None]) -> None:
    make, inputs = MODELS[name]

    def run(device: torch.device) -> torch.Tensor:
        model = make(attention).to(device).eval()
        batch = moved(inputs(), device)
        torch.manual_seed(1)
        return model.generate(**batch, max_new_tokens=8, **GENERATE[how])

    same(run)


# With "sdpa", and in BERT and T5, transformers itself asks whether a mask hides anything.
@pytest.mark.parametrize("name", ["gpt2", "llama", "vit", "whisper"])
def test_a_training_step_waits_for_nothing(name: str, sky: torch.device, compute: Compute) -> None:
    step(name, "eager", sky)  # the first may ask the server what comes of ops that have no meta kernel
    before = compute.session().counters().sync_points
    model, output = step(name, "eager", sky)
    assert compute.session().counters().sync_points == before
    assert output.loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_is_saved_and_loaded_onto_sky(
    dtype: torch.dtype, tmp_path: Path, sky: torch.device, same: Callable[..., None]
) -> None:
    gpt2("sdpa").to(sky).save_pretrained(tmp_path)

    def run(device: torch.device) -> Any:
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype, device_map={"": device})
        assert model.device == device
        assert model.lm_head.weight is model.transformer.wte.weight
        inputs = moved(text(), device)
        return model(**inputs).logits

    same(run)
