rule matting:
    """Separate the subject from the known background plate, or by a network with the user's weights."""
    input: images=at.images, background=at.background, **plan.own_weights("matting")
    output: at.mattes
    log: at.log("matting")
    benchmark: at.benchmark("matting")
    conda: "../envs/matting.yaml"
    params: code=code_hash("headcast.stages.matting"), settings=settings.settings("matting"), weights=plan.weights("matting")
    threads: 4
    resources: gpu=plan.network_gpu("matting"), mem_mb=doubling(6_000), runtime=120
    message: "matting {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.matting --images {input.images:q} --background {input.background:q} --settings {params.settings:q}"
        " --output {output:q} --workers {threads} --log {log:q}"


rule landmarks:
    """Detect facial landmarks in every view and reconcile them over the cameras."""
    input: images=at.images, cameras=at.cameras, **plan.own_weights("landmarks")
    output: at.landmarks
    log: at.log("landmarks")
    benchmark: at.benchmark("landmarks")
    conda: "../envs/landmarks.yaml"
    params: code=code_hash("headcast.stages.landmarks"), settings=settings.settings("landmarks"), weights=plan.weights("landmarks")
    resources: gpu=plan.network_gpu("landmarks"), mem_mb=doubling(2_000), runtime=60
    message: "finding landmarks in {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.landmarks --images {input.images:q} --cameras {input.cameras:q} --settings {params.settings:q}"
        " --output {output:q} --log {log:q}"


rule hair_masks:
    """Label hair, face and body in every view, with a soft hair matte."""
    input:
        images=at.images, cameras=at.cameras, mattes=at.mattes, **plan.own_weights("hair_masks"),
        **plan.by_fit(surface=at.surface_params, model=at.head_model.format(model=settings.fitting.model)),
    output: at.hair_masks
    log: at.log("hair_masks")
    benchmark: at.benchmark("hair_masks")
    conda: "../envs/parsing.yaml"
    params:
        code=code_hash("headcast.stages.hair_masks"), settings=settings.settings("hair_masks"), weights=plan.weights("hair_masks"),
        fit=lambda wildcards, input: ["--surface", input.surface, "--model", input.model] if input.get("surface") else [],
    threads: 4
    resources: gpu=plan.network_gpu("hair_masks"), mem_mb=doubling(6_000), runtime=120
    message: "labelling hair, face and body of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.hair_masks --images {input.images:q} --cameras {input.cameras:q}"
        " --mattes {input.mattes:q} {params.fit:q} --settings {params.settings:q} --output {output:q} --workers {threads} --log {log:q}"


rule orientation_maps:
    """Measure the undirected orientation of hair in every pixel."""
    input: images=at.images, masks=at.hair_masks
    output: at.orientation_maps
    log: at.log("orientation_maps")
    benchmark: at.benchmark("orientation_maps")
    conda: "../envs/parsing.yaml"
    params: code=code_hash("headcast.stages.orientation_maps"), settings=settings.settings("orientation_maps")
    threads: 4
    resources: gpu=int(settings.orientation_maps.gpu), mem_mb=doubling(4_000), runtime=120
    message: "measuring hair orientation in {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.orientation_maps --images {input.images:q} --masks {input.masks:q} --settings {params.settings:q}"
        " --output {output:q} --workers {threads} --log {log:q}"


rule doctor:
    """Examine capture and preprocessing before training: every finding with its figure, threshold and remedy, one contact sheet a stage."""
    input:
        images=at.images, cameras=at.cameras, background=at.background, mattes=at.mattes, landmarks=at.landmarks,
        surface=at.surface_params, masks=at.hair_masks, orientation=at.orientation_maps,
    output:
        verdict=at.doctor, page=report(at.doctor_page, category="data doctor", labels={"subject": "{subject}", "sequence": "{sequence}"}),
        sheets=at.contact_sheets,
    log: at.log("doctor")
    benchmark: at.benchmark("doctor")
    conda: "../envs/parsing.yaml"
    params: code=code_hash("headcast.stages.doctor"), settings=settings.settings("doctor")
    threads: 4
    resources: mem_mb=doubling(4_000), runtime=30
    message: "examining {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.doctor --images {input.images:q} --cameras {input.cameras:q} --background {input.background:q}"
        " --mattes {input.mattes:q} --landmarks {input.landmarks:q} --surface {input.surface:q} --masks {input.masks:q}"
        " --orientation {input.orientation:q} --settings {params.settings:q} --verdict {output.verdict:q} --page {output.page:q}"
        " --sheets {output.sheets:q} --workers {threads} --log {log:q}"
