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
        images=at.images, cameras=at.cameras, landmarks=at.landmarks, model=at.head_model.format(model=settings.fitting.model),
        **plan.identity, **plan.outlines(at.mattes),
    output: params=at.driver_params, surface=at.surface_params
    log: at.log("fit_head")
    benchmark: at.benchmark("fit_head")
    conda: "../envs/fitting.yaml"
    params:
        code=code_hash("headcast.stages.fit_head"), settings=settings.settings("fitting"),
        identity=lambda wildcards, input: ["--identity", *input.identity] if input.get("identity") else [],
        mattes=lambda wildcards, input: ["--mattes", input.mattes] if input.get("mattes") else [],
    resources: mem_mb=doubling(4_000), runtime=30
    message: "fitting the head of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.fit_head --images {input.images:q} --cameras {input.cameras:q} --landmarks {input.landmarks:q}"
        " --model {input.model:q}"
        " {params.identity:q} {params.mattes:q} --settings {params.settings:q} --params {output.params:q} --surface {output.surface:q} --log {log:q}"


rule fit_pictures:
    """Draw the fit over the pictures, over time and all around; a failed frame is marked, and named in fit/frames.json."""
    input:
        images=at.images, cameras=at.cameras, landmarks=at.landmarks, surface=at.surface_params,
        model=at.head_model.format(model=settings.fitting.model),
    output:
        frames=at.fit_frames, overlay=report(at.fit_overlay, **pictured("fit", picture="over the views")),
        residuals=report(at.fit_residuals, **pictured("fit", picture="residuals")),
        parameters=report(at.fit_parameters, **pictured("fit", picture="parameters over time")),
        turntable=report(at.fit_turntable, **pictured("fit", picture="all around")),
    log: at.log("fit_pictures")
    benchmark: at.benchmark("fit_pictures")
    conda: "../envs/evaluation.yaml"
    params: code=code_hash("headcast.stages.fit_pictures"), settings=settings.settings("fitting")
    resources: mem_mb=doubling(2_000), runtime=30
    message: "drawing the fit of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.fit_pictures --images {input.images:q} --cameras {input.cameras:q} --landmarks {input.landmarks:q}"
        " --surface {input.surface:q} --model {input.model:q} --settings {params.settings:q} --frames {output.frames:q}"
        " --overlay {output.overlay:q} --residuals {output.residuals:q} --parameters {output.parameters:q}"
        " --turntable {output.turntable:q} --log {log:q}"
