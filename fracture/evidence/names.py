"""What the artifacts, tags and metrics of a run are called, and what each of them is."""

ARTIFACTS = {
    "best.pth": "the chosen weights: a plain state dict, loads with weights_only=True",
    "best.json": "its sidecar: model, classes, input size, normalisation, digest (fracture.models.checkpoint.Sidecar)",
    "results.json": "metrics with intervals, confusion matrices, history (fracture.evidence.Results)",
    "predictions_val.csv": "path, label, predicted, group, source, sha256, logit_<class>, probability_<class>",
    "predictions_test.csv": "the same of the test split, which is used once; probabilities are calibrated",
    "predictions_out_of_fold.csv": "the same of train and validation, by heads that had not seen the image; of a "
    "linear probe, whose decisions rest on it",
    "heads.npz": "weight and bias of a fitted last layer as selected, refit_weight and refit_bias of the same fitted "
    "again on training and validation together; not always there",
    "label_review.csv": "the images of predictions_out_of_fold.csv, else of predictions_val.csv, that with the least "
    "probability of its label first: path, label, probability, model_says, its_probability, split, group, sha256; not "
    "where the answers are no better than chance",
    "probe.npz": "images: uint8 [n, size, size], the first test images; logits: float32 [n, classes], fp32, CPU",
    "config.json": "every parameter as trained with, the recipe's choices included, and the plan resolved from it",
    "environment.json": "package versions, hardware, git commit",
    "uncommitted.diff": "the working tree against the commit; only where it was dirty",
    "manifest.csv": "the data: path, label, split, group, source, content hash of every image",
    "audit.json": "what the audit of the data found; absent with audit=off",
    "audit.html": "the same as a page, with the image pairs side by side",
    "memory.json": "the memory plan: the choice, the predicted peak, its parts, the measured one; not always there",
    "memory.png": "what the predicted peak is made of, by micro-batch, with the limit",
    "report.html": "all of it for people: one page that needs nothing else",
    "controls.json": "answers without the centre, without the border, to blank images (fracture.evidence.Controls)",
    "figures": "folder of the report's pictures, PNG",
    "train.log": "all that was said, with times; stacks where the run stalled",
}

FOLD_ARTIFACTS = {
    "folds.json": "mean, interval and folds of every metric of the test split (fracture.evidence.FoldResults)",
    "predictions_out_of_fold.csv": "predictions_test.csv of all folds, with the column fold: each image once",
    "report.html": "all out-of-fold answers together, and every metric over the folds, for people",
}

FOLD_MEAN_ARTIFACTS = (
    "best.pth", "best.json", "results.json", "predictions_test.csv", "probe.npz", "manifest.csv", "config.json",
    "environment.json",
)  # fmt: skip

TAGS = {
    "fracture.kind": "train, evaluate, ensemble, compare, prepare, audit, drift, feedback, tune, trial, group, pointer",
    "fracture.model": "timm's name with its tag",
    "fracture.changed": "knobs of training that were given another value than their default",
    "fracture.weights": "hub, package, file or random",
    "fracture.weights_license": "of the initial weights, as timm states it or as the user states it for a file",
    "fracture.weights_changes": "what of the initial weights was dropped or changed, e.g. resampled positions",
    "fracture.weights_sha256": "digest of the chosen weights' names and values, as in best.json",
    "fracture.data_digest": "of contents, labels and splits of all images",
    "fracture.healthy": "the class without a fracture, as resolved from the knob healthy; none where none is known",
    "fracture.test_digest": "of the test split: runs with different ones cannot be ranked against each other",
    "fracture.evaluated": "of an evaluation: the run or file whose model was judged",
    "fracture.refit_of": "of an evaluation that took new decisions: the run that trained the weights",
    "fracture.members": "of an ensemble: its runs",
    "fracture.synthetic": "true when the images, judged or learned from, are rendered: no medical meaning",
    "fracture.audit": "clean, confounded, leaking or off",
    "fracture.confounded": "true when what is not anatomy tells classes apart: a high score proves little",
    "fracture.drift": "of a run that looked for it: drift, too few answers, or no drift seen",
    "fracture.memory_corrected": "the plan and the reason, where the prediction was too low and a step was retried",
    "fracture.state": "where the full training state lies, until the run succeeds",
    "fracture.process": "while it runs: machine (a digest), id and beginning of the process that writes the run",
    "fracture.reason": "why the run did not finish",
    "fracture.continues": "the run that this one trains longer, from its weights on",
    "fracture.resumed_by": "on a pointer: the run that goes on",
    "fracture.group_key": "on a group: digest of its settings, so that the same command continues it",
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
    "peak_memory_gib": "largest so far: reserved on the GPU, or resident in main memory of the process",
}

METRICS = {
    "accuracy": "share of images that are right",
    "balanced_accuracy": "mean recall over the classes that occur",
    "macro_f1": "mean F1 over the classes that occur or are predicted",
    "mcc": "Matthews correlation coefficient, for several classes (Gorodkin 2004)",
    "cohen_kappa": "agreement beyond chance",
    "log_loss": "mean negative log-likelihood, in nats, with the temperature; lower is better",
    "brier": "squared error of the probabilities summed over the classes, 0 (perfect) to 2",
    "ece": "expected calibration error of the predicted class, 15 bins of equal width; 0 is perfect",
    "ece_debiased": "the same less what a perfectly calibrated model would show on as many images",
    "any_fracture_sensitivity": "share of fractures (all classes but the healthy one) reported at the operating point",
    "any_fracture_specificity": "share of images of the healthy class that are not reported",
    "any_fracture_auroc": "area under the ROC curve of the probability of any fracture, 1 - that of the healthy class",
    "answered_share": "share of images that are not referred to a person",
    "answered_accuracy": "accuracy among them",
    "set_size": "mean number of classes that remain possible, at the coverage wanted of each",
    "set_single_share": "share of images with a single such class",
    "set_fracture_share": "share of fractures of which only kinds of fracture remain possible, one or several",
}
CLASS_METRICS = {
    "precision_": "share of images predicted to be of the class that are",
    "recall_": "share of images of the class that are found (sensitivity)",
    "specificity_": "share of other images that are not taken for it",
    "f1_": "harmonic mean of precision and recall",
    "auroc_": "area under the ROC curve, the class against the rest",
    "average_precision_": "precision averaged over recall, the class against the rest",
    "set_coverage_": "share of images of the class whose set of possible classes holds it",
}
SINGLE_METRICS = {
    "latency_ms": "median time of one image through the model alone",
    "checkpoint_mib": "size of best.pth",
    "temperature": "that logits are divided by",
}

_WRITTEN = {
    "f1": "F1", "mcc": "MCC", "ece": "ECE", "auroc": "AUROC", "auc": "AUC", "cohen": "Cohen's", "brier": "Brier score",
}  # fmt: skip


def metric_title(name: str) -> str:
    """A metric's name as people write it."""
    return " ".join(_WRITTEN.get(word, word) for word in name.split("_"))
