"""What the artifacts, tags and metrics of a run are called, and what each of them is."""

ARTIFACTS = {
    "best.pth": "the chosen weights: a plain state dict, loads with weights_only=True",
    "best.json": "what is needed to use the weights: model, classes, input size, normalisation, thresholds, digest "
    "(fracture.models.checkpoint.Sidecar)",
    "results.json": "metrics with intervals, confusion matrices, history (fracture.evidence.Results)",
    "predictions_val.csv": "path, label, predicted, group, source, sha256, logit_<class>, probability_<class>",
    "predictions_test.csv": "the same for the test split, which is used once; probabilities are calibrated",
    "predictions_out_of_fold.csv": "the same for train and validation, each image answered by a head that had not seen "
    "it; only for a linear probe, whose thresholds are fitted on it",
    "heads.npz": "weight and bias of a linear probe as selected; refit_weight and refit_bias after it was fitted again "
    "on training and validation together; only where it was",
    "label_review.csv": "images whose label may be wrong, the least probable label first, from "
    "predictions_out_of_fold.csv, else predictions_val.csv: path, label, probability, model_says, its_probability, "
    "split, group, sha256; absent where the answers are no better than chance",
    "probe.npz": "the first test images and their logits, to check a copy of the model: images uint8 [n, size, size], "
    "logits float32 [n, classes], computed in fp32 on the CPU",
    "config.json": "every parameter that was used, the recipe's choices included, and the plan for this machine",
    "environment.json": "package versions, hardware, git commit",
    "uncommitted.diff": "uncommitted changes of the code; only if there were any",
    "manifest.csv": "the data: path, label, split, group, source, content hash of every image",
    "audit.json": "what the audit of the data found; absent with audit=off",
    "audit.html": "the same as a page, with the image pairs side by side",
    "memory.json": "the memory plan: the choice, the predicted peak, its parts, the measured peak; absent where "
    "nothing could be predicted",
    "memory.png": "the parts of the predicted peak, by micro-batch, with the limit",
    "report.html": "all results for people: one page that needs no other file",
    "controls.json": "whether the model looks at the bone: answers to images with the centre or the border hidden, and "
    "to blank images (fracture.evidence.Controls)",
    "figures": "folder with the report's pictures, PNG",
    "train.log": "everything that was printed, with times; stack traces if the run stalled",
}

FOLD_ARTIFACTS = {
    "folds.json": "mean, interval and each fold's value of every test metric (fracture.evidence.FoldResults)",
    "predictions_out_of_fold.csv": "predictions_test.csv of all folds, with the column fold: each image once",
    "report.html": "all out-of-fold answers together, and every metric over the folds, for people",
}

FOLD_MEAN_ARTIFACTS = (
    "best.pth", "best.json", "results.json", "predictions_test.csv", "probe.npz", "manifest.csv", "config.json",
    "environment.json",
)  # fmt: skip

TAGS = {
    "fracture.kind": "train, evaluate, ensemble, compare, prepare, audit, drift, feedback, promote, challenge, "
    "rollback, tune, trial, group, pointer",
    "fracture.model": "timm's name with its tag",
    "fracture.changed": "parameters that were given another value than their default",
    "fracture.weights": "where the initial weights are from: hub, package, file or random",
    "fracture.weights_license": "licence of the initial weights, as timm states it, or as the user states it for a "
    "file",
    "fracture.weights_changes": "what was dropped from the initial weights or changed, such as resampled positions",
    "fracture.weights_sha256": "digest of the chosen weights, as in best.json",
    "fracture.data_digest": "digest of contents, labels and splits of all images",
    "fracture.healthy": "the class without a fracture, as found by the parameter healthy; none where none is known",
    "fracture.test_digest": "digest of the test split: runs with different ones cannot be ranked against each other",
    "fracture.evaluated": "of an evaluation: the run or file whose model was evaluated",
    "fracture.refit_of": "of an evaluation with refit_decisions: the run that trained the weights",
    "fracture.joined": "of an evaluation on labels that do not say which kind: the model's classes that count as a "
    "fracture",
    "fracture.members": "of an ensemble: its runs",
    "fracture.synthetic": "true if images of training or test are rendered: no medical meaning",
    "fracture.audit": "clean, confounded, leaking or off",
    "fracture.confounded": "true if something other than anatomy separates the classes: a high score proves little",
    "fracture.drift": "of a drift run: drift, too few answers, or no drift seen",
    "fracture.memory_corrected": "the new plan and the reason, if a step ran out of memory and was retried",
    "fracture.state": "folder of the full training state, until the run succeeds",
    "fracture.process": "while it runs: machine (a digest), id and start time of the process that writes the run",
    "fracture.reason": "why the run did not finish",
    "fracture.continues": "the run whose training this one continues with more epochs",
    "fracture.resumed_by": "on a pointer run, which only says that another run was resumed: that run",
}

EPOCH_METRICS = {
    "train_loss": "mean loss over the epoch's augmented batches, with label smoothing and class weights if any",
    "train_accuracy": "accuracy over the same batches, while learning",
    "val_loss": "mean negative log-likelihood on validation, in nats",
    "val_accuracy": "accuracy on validation",
    "val_balanced_accuracy": "mean recall over the classes on validation",
    "val_macro_f1": "mean F1 over the classes on validation",
    "val_auroc": "area under the ROC curve of any fracture on validation; without a healthy class the classes' mean",
    "val_balanced_log_loss": "log-loss on validation, the mean over the classes",
    "lr": "learning rate of the head at the end of the epoch",
    "epoch_seconds": "training and validation",
    "images_per_second": "training images over the training part of the epoch",
    "peak_memory_gib": "largest so far: reserved on the GPU, or the resident set of the process in main memory",
}

METRICS = {
    "accuracy": "share of images with the right answer",
    "balanced_accuracy": "mean recall over the classes that occur",
    "macro_f1": "mean F1 over the classes that occur or are predicted",
    "mcc": "Matthews correlation coefficient, for several classes (Gorodkin 2004)",
    "cohen_kappa": "agreement beyond chance",
    "log_loss": "mean negative log-likelihood, in nats, with the temperature; lower is better",
    "brier": "squared error of the probabilities summed over the classes, 0 (perfect) to 2",
    "ece": "expected calibration error of the predicted class, 15 bins of equal width; 0 is perfect",
    "ece_debiased": "the same minus what a perfectly calibrated model would show on as many images",
    "any_fracture_sensitivity": "share of fractures (all classes but the healthy one) reported at the operating point",
    "any_fracture_specificity": "share of images of the healthy class for which no fracture is reported",
    "any_fracture_auroc": "area under the ROC curve of the probability of any fracture, 1 - that of the healthy class",
    "answered_share": "share of images that are not referred to a person",
    "answered_accuracy": "accuracy among the images that are not referred",
    "set_size": "mean number of classes that remain possible, at the wanted coverage",
    "set_single_share": "share of images for which a single class remains possible",
    "set_fracture_share": "share of fractures for which only kinds of fracture remain possible, one or several",
}
CLASS_METRICS = {
    "precision_": "share of images predicted to be of the class that are of it",
    "recall_": "share of images of the class that are found (sensitivity)",
    "specificity_": "share of images of other classes that are not predicted to be of it",
    "f1_": "harmonic mean of precision and recall",
    "auroc_": "area under the ROC curve, the class against the rest",
    "average_precision_": "precision averaged over recall, the class against the rest",
    "set_coverage_": "share of images of the class that have it among their possible classes",
}
SINGLE_METRICS = {
    "latency_ms": "median time of one image through the model alone",
    "checkpoint_mib": "size of best.pth",
    "temperature": "logits are divided by it",
}

_WRITTEN = {
    "f1": "F1", "mcc": "MCC", "ece": "ECE", "auroc": "AUROC", "auc": "AUC", "cohen": "Cohen's", "brier": "Brier score",
    "mib": "MiB",
}  # fmt: skip


def metric_title(name: str) -> str:
    """A metric's name as people write it."""
    return " ".join(_WRITTEN.get(word, word) for word in name.split("_"))
