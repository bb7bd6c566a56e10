rule evaluate:
    """Measure the avatar on cameras and frames that it has never seen."""
    input:
        images=plan.of_sequences(at.images), cameras=plan.of_sequences(at.cameras), background=plan.of_sequences(at.background),
        mattes=plan.of_sequences(at.mattes), masks=plan.of_sequences(at.hair_masks), params=plan.of_sequences(at.driver_params), avatar=at.avatar,
    output: metrics=at.evaluation, frames=at.evaluation_frames, picture=report(at.evaluation_picture, **pictured("evaluation"))
    log: at.log("evaluate")
    benchmark: at.benchmark("evaluate")
    conda: "../envs/evaluation.yaml"
    params:
        code=code_hash("headcast.stages.evaluate"), settings=settings.settings("evaluation", "held_out"), truth=plan.ground_truth,
        known=plan.ground_truth_digest,
        benchmarks=lambda wildcards, output: str(Path(output.metrics).parent.parent / "benchmarks"),
    threads: 2
    resources: gpu=1, mem_mb=doubling(8_000), runtime=120
    message: "evaluating {wildcards.subject}/{wildcards.sequence} on held-out views"
    shell:
        "python -m scripts.evaluate --images {input.images:q} --cameras {input.cameras:q} --background {input.background:q}"
        " --mattes {input.mattes:q} --masks {input.masks:q} --params {input.params:q} --avatar {input.avatar:q} --truth {params.truth:q}"
        " --benchmarks {params.benchmarks:q} --settings {params.settings:q} --metrics {output.metrics:q} --frames {output.frames:q}"
        " --picture {output.picture:q} --log {log:q}"


rule score:
    """Score every stage against ground truth, where the capture carries it."""
    input:
        images=at.images, cameras=at.cameras, background=at.background, mattes=at.mattes, masks=at.hair_masks, orientation=at.orientation_maps,
        landmarks=at.landmarks, surface=at.surface_params, params=at.driver_params,
        model=at.head_model.format(model=settings.fitting.model), hair=at.hair_strands, avatar=at.avatar,
    output: scores=at.scores, picture=report(at.scored_strands, **pictured("hair"))
    log: at.log("score")
    benchmark: at.benchmark("score")
    conda: "../envs/evaluation.yaml"
    params: code=code_hash("headcast.stages.score"), settings=settings.settings("fitting"), truth=plan.ground_truth, known=plan.ground_truth_digest
    threads: 2
    resources: mem_mb=doubling(8_000), runtime=60
    message: "scoring the stages of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.score --images {input.images:q} --cameras {input.cameras:q} --background {input.background:q}"
        " --mattes {input.mattes:q} --masks {input.masks:q} --orientation {input.orientation:q} --landmarks {input.landmarks:q}"
        " --surface {input.surface:q} --params {input.params:q} --model {input.model:q} --hair {input.hair:q} --avatar {input.avatar:q}"
        " --truth {params.truth:q} --sequence {wildcards.sequence:q} --settings {params.settings:q} --output {output.scores:q}"
        " --picture {output.picture:q} --log {log:q}"


rule reenact:
    """Film the avatar, driven by the fitted track of a sequence."""
    input: avatar=at.avatar, params=plan.driver(at.driver_params), cameras=at.cameras, times=plan.driver(at.cameras)
    output: report(at.reenactment, **pictured("re-enactment"))
    log: at.log("reenact")
    benchmark: at.benchmark("reenact")
    conda: "../envs/evaluation.yaml"
    params: code=code_hash("headcast.stages.reenact"), settings=settings.settings("reenactment")
    threads: 2
    resources: gpu=1, mem_mb=doubling(4_000), runtime=60
    message: "filming {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.reenact --avatar {input.avatar:q} --params {input.params:q} --cameras {input.cameras:q}"
        " --times {input.times:q} --settings {params.settings:q} --output {output:q} --log {log:q}"


rule export_gha:
    """Write the products before training in the exact layout of Gaussian Head Avatar, for tools that read it."""
    input:
        images=at.images, cameras=at.cameras, background=at.background, mattes=at.mattes, masks=at.hair_masks, orientation=at.orientation_maps,
        landmarks=at.landmarks, surface=at.surface_params, model=at.head_model.format(model=settings.fitting.model),
    output: at.export_gha
    log: at.log("export_gha")
    benchmark: at.benchmark("export_gha")
    conda: "../envs/parsing.yaml"
    params: code=code_hash("headcast.stages.export_gha"), settings=settings.settings("fitting")
    threads: 4
    resources: mem_mb=doubling(4_000), runtime=120
    message: "writing {wildcards.subject}/{wildcards.sequence} for Gaussian Head Avatar"
    shell:
        "python -m scripts.export_gha --subject {wildcards.subject:q} --sequence {wildcards.sequence:q} --images {input.images:q}"
        " --cameras {input.cameras:q} --background {input.background:q} --mattes {input.mattes:q} --masks {input.masks:q}"
        " --orientation {input.orientation:q} --landmarks {input.landmarks:q} --surface {input.surface:q} --model {input.model:q}"
        " --settings {params.settings:q} --output {output:q} --workers {threads} --log {log:q}"


rule export_strands:
    """Write the trained strands as files for other programs, bound to the canonical head."""
    input: avatar=at.avatar
    output: at.export_strands
    log: at.log("export_strands")
    benchmark: at.benchmark("export_strands")
    conda: "../envs/evaluation.yaml"
    params: code=code_hash("headcast.stages.export_strands"), settings=settings.settings("strand_export")
    threads: 1
    resources: mem_mb=doubling(4_000), runtime=30
    message: "writing the strands of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.export_strands --avatar {input.avatar:q} --settings {params.settings:q} --output {output:q} --log {log:q}"


rule swap_hair:
    """Give an avatar the hair of another subject's avatar of the same sequence, re-rooted on its scalp."""
    input: avatar=at.avatar, other=at.avatar.replace("{subject}", "{other}")
    output: at.swapped
    log: at.log("swap_hair_{other}")
    benchmark: at.benchmark("swap_hair_{other}")
    conda: "../envs/evaluation.yaml"
    params: code=code_hash("headcast.stages.swap_hair")
    threads: 1
    resources: mem_mb=doubling(4_000), runtime=30
    message: "putting the hair of {wildcards.other} on {wildcards.subject}/{wildcards.sequence}"
    shell: "python -m scripts.swap_hair --avatar {input.avatar:q} --other {input.other:q} --output {output:q} --log {log:q}"
