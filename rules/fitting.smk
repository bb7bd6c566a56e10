rule head_model:
    """Build a parametric head once: the embedded one from its CC0 sources, the others from the user's files."""
    input: plan.head_files
    output: at.head_model
    log: "results/models/logs/head_model_{model}.log"
    benchmark: "results/models/benchmarks/head_model_{model}.tsv"
    conda: "../envs/fitting.yaml"
    params: code=code_hash("headcast.stages.head_model"), weights=plan.weights("fitting")
    resources: mem_mb=doubling(2_000), runtime=10
    message: "building the head model {wildcards.model}"
    shell:
        "python -m scripts.head_model --model {wildcards.model:q} --output {output:q} --log {log:q}"


rule fit_head:
    """Fit the parametric head to the landmarks of all frames and views; one rigid track for driver and surface."""
    input:
        cameras=at.cameras, landmarks=at.landmarks, model=at.head_model.format(model=settings.fitting.model), identity=plan.identity,
    output: params=at.driver_params, surface=at.surface_params
    log: at.log("fit_head")
    benchmark: at.benchmark("fit_head")
    conda: "../envs/fitting.yaml"
    params:
        code=code_hash("headcast.stages.fit_head"), settings=settings.settings("fitting"),
        identity=lambda wildcards, input: ["--identity", *input.identity] if input.identity else [],
    resources: mem_mb=doubling(4_000), runtime=30
    message: "fitting the head of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.fit_head --cameras {input.cameras:q} --landmarks {input.landmarks:q} --model {input.model:q}"
        " {params.identity:q} --settings {params.settings:q} --params {output.params:q} --surface {output.surface:q} --log {log:q}"
