"""transformers.Trainer, which asks accelerate for its device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path


def model() -> transformers.PreTrainedModel:
    # Dropout draws from the device's generator, shuffling from the CPU's: on the CPU alone these are one and the same.
    config = transformers.BertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, num_labels=3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def examples() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(2)
    return [
        {
            "input_ids": torch.randint(3, 99, (12,), generator=generator),
            "attention_mask": torch.ones(12, dtype=torch.long),
            "labels": number % 3,
        }
        for number in range(16)
    ]


def test_trains_evaluates_saves_and_resumes(
    tmp_path: Path, told: Callable[[torch.device], AbstractContextManager[None]], same: Callable[..., None]
) -> None:
    def run(device: torch.device) -> Any:
        with told(device):
            return train(device)

    def train(device: torch.device) -> Any:
        arguments = transformers.TrainingArguments(
            str(tmp_path / device.type), per_device_train_batch_size=4, max_steps=6, learning_rate=1e-2,
            adam_epsilon=1e-3, logging_steps=2, save_steps=3, eval_strategy="steps", eval_steps=3, seed=1,
            report_to=[], disable_tqdm=True, gradient_accumulation_steps=2,
        )  # fmt: skip
        assert arguments.device == device
        data = examples()
        trainer = transformers.Trainer(model(), arguments, train_dataset=data, eval_dataset=data[:8])
        trainer.train()
        trained = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        trainer.train(resume_from_checkpoint=str(tmp_path / device.type / "checkpoint-3"))
        resumed = dict(trainer.model.state_dict())
        assert trainer.model.device == device
        return trained, losses, resumed, trainer.evaluate()["eval_loss"], trainer.predict(data[:8]).predictions

    same(run, rtol=1e-3, atol=1e-4)
