# What the rules of one file read, where that depends on a job's model, student or seed. (Snakemake's
# linter wants functions and rules in different files.)


def source_files(wildcards):
    """Return the local files that a target's sets are read from."""
    sets = EXPERIMENT.targets[wildcards.target].sets
    local = [slices.local_file(EXPERIMENT, getattr(sets, name).source, name) for name in data.SETS]
    return [file for path in local if path for file in [path, *files_in(path)]]


def models_by(origin):
    """Return the names of the models that are had in one way: `id`, `path`, `package`, `pretrain`."""
    return [name for name, model in EXPERIMENT.models.items() if getattr(model, origin)]


def model_folder(wildcards):
    """Return the local folder that a model is copied from."""
    path = os.path.join(EXPERIMENT.data_root, EXPERIMENT.models[wildcards.model].path)
    # Snakemake makes results/models/x, and knows no ./results/models/x.
    made_here = os.path.normpath(path)
    return made_here if made_here.startswith("results/") else path


def corpus_texts(wildcards):
    """Return what a corpus is made of: a world's encyclopedia, or a target's training sets."""
    corpus = EXPERIMENT.corpora[wildcards.corpus]
    if corpus.world:
        return paths.WORLD_CORPUS.format(world=corpus.world)
    return collect(paths.PAIRS, target=corpus.target, set=corpus.sets)


def corpus_of(wildcards):
    """Return the folder of the corpus that a model is pretrained on."""
    return paths.CORPUS.format(corpus=EXPERIMENT.models[wildcards.model].pretrain.corpus)


def student_reference_pairs(wildcards):
    """Return the sets on which an SFT model is the reference of students."""
    yield student_pairs(wildcards)
    yield pairs_of("test").format(**wildcards)
    if is_mixture(wildcards):
        yield pairs_of("helpful").format(**wildcards)


def student_base(wildcards):
    """Return the model that a student starts from."""
    if starts_from_sft(wildcards):
        return f"{student_sft_folder(wildcards)}/checkpoint"
    return paths.MODEL.format(model=wildcards.strong)


def student_features(wildcards):
    """Return the features of the sets that a linear probe is trained on."""
    sets = [STUDENTS[wildcards.variant].trained_on]
    if is_mixture(wildcards):
        sets.append("helpful")
    return [features_of(name, "{strong}").format(**wildcards) for name in sets]


def features_labelled_by_student(wildcards):
    """Return the features of the set that a linear probe labels for the next of a chain."""
    return features_of(STUDENTS[wildcards.variant].labels, "{strong}").format(**wildcards)


def seed_before(wildcards):
    """Return the predictions of a cell's four models under the seed before; none for the first.

    The seed before, so that a seed added to the list changes no finished probe.
    """
    seeds = SEEDS.get(matrix.Cell(**dict(wildcards) | {"seed": 0}), [])
    place = seeds.index(int(wildcards.seed)) if int(wildcards.seed) in seeds else 0
    if place == 0:
        return []
    cell = dict(wildcards) | {"seed": seeds[place - 1]}
    return [
        paths.CEILING_PREDICTIONS.format(**cell, model=wildcards.weak),
        paths.CEILING_PREDICTIONS.format(**cell, model=wildcards.strong),
        paths.STUDENT_PREDICTIONS.format(**cell | {"conflict": "none"}),
        paths.STUDENT_PREDICTIONS.format(**cell),
    ]


def placebo(wildcards):
    """Return the predictions of a second student without conflict, where no seed before has one."""
    if "placebo" not in EXPERIMENT.conflicts or wildcards.conflict == "none":
        return []
    if seed_before(wildcards):
        return []
    return paths.STUDENT_PREDICTIONS.format(**dict(wildcards) | {"conflict": "placebo"})
