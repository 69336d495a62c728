"""Gradient descent: AdamW with a learning-rate schedule, and early stopping where there are validation rows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from genrepipe.training.recipes import Recipe

    Progress = Callable[[int, float, float], None]


class Optimiser:
    """Minimises a loss over mini-batches, as a recipe says.

    With validation rows it stops after ``recipe.patience`` epochs without a lower validation loss, and restores the
    weights of the best epoch. Where it reaches the last epoch it keeps the last weights, since a one-cycle rate has
    then come down to nothing.

    Attributes
    ----------
    curves
        One row for each epoch: its number from 1, the train loss and the validation loss.
    best_epoch
        The epoch whose weights the network has.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        recipe: Recipe,
        seed: int,
        validation: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self.net, self.loss, self.recipe, self.validation = net, loss, recipe, validation
        self.optimizer = torch.optim.AdamW(
            net.parameters(), lr=recipe.max_lr, weight_decay=recipe.weight_decay, fused=True
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.curves: list[tuple[int, float, float]] = []
        self.best_epoch = 0

    def run(
        self,
        epoch_rows: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
        rows: int,
        progress: Progress | None = None,
    ) -> None:
        """Train.

        Parameters
        ----------
        epoch_rows
            Returns the train inputs of an epoch and the labels or values that are their targets, by its number from 1.
        rows
            How many rows an epoch has.
        progress
            Called after every epoch with its number, the train loss and the validation loss.
        """
        steps = -(-rows // self.recipe.batch_size)
        schedule: Any = None
        if self.recipe.schedule == "one-cycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer,
                self.recipe.max_lr,
                total_steps=steps * self.recipe.epochs,
                pct_start=self.recipe.pct_start,
            )
        best_loss, best_weights = float("inf"), copy.deepcopy(self.net.state_dict())
        for epoch in range(1, self.recipe.epochs + 1):
            train_loss = self._epoch(*epoch_rows(epoch), schedule) / steps
            if self.validation is None:
                continue
            validation_loss = self._evaluate(*self.validation)
            self.curves.append((epoch, train_loss, validation_loss))
            if progress:
                progress(epoch, train_loss, validation_loss)
            if validation_loss < best_loss:
                self.best_epoch, best_loss = epoch, validation_loss
                best_weights = copy.deepcopy(self.net.state_dict())
            elif self.recipe.patience <= epoch - self.best_epoch and epoch < self.recipe.epochs:
                self.net.load_state_dict(best_weights)
                return
        self.best_epoch = self.recipe.epochs

    def _evaluate(self, inputs: torch.Tensor, target: torch.Tensor) -> float:
        self.net.eval()
        with torch.no_grad():
            return float(self.loss(self.net(inputs), target))

    def _epoch(self, inputs: torch.Tensor, target: torch.Tensor, schedule: Any) -> float:
        self.net.train()
        total = 0.0
        for rows in torch.split(torch.randperm(len(inputs), generator=self.generator), self.recipe.batch_size):
            self.optimizer.zero_grad()
            value = self.loss(self.net(inputs[rows]), target[rows])
            value.backward()
            self.optimizer.step()
            if schedule:
                schedule.step()
            total += value.item()
        return total
