rule train_mesh_head:
    """Stage one: a deformable tetrahedral mesh of head, hair volume and bust."""
    input:
        images=plan.of_sequences(at.images), cameras=plan.of_sequences(at.cameras), background=plan.of_sequences(at.background),
        mattes=plan.of_sequences(at.mattes), masks=plan.of_sequences(at.hair_masks), landmarks=plan.of_sequences(at.landmarks),
        params=plan.of_sequences(at.driver_params), model=at.head_model.format(model=settings.fitting.model),
        verdict=ancient(plan.of_sequences(at.doctor)),
    output: at.mesh_head
    log: at.log("train_mesh_head")
    benchmark: at.benchmark("train_mesh_head")
    conda: "../envs/training.yaml"
    params:
        code=code_hash("headcast.stages.train_mesh_head"), settings=settings.settings("mesh_head", "held_out"),
        state=at.state("train_mesh_head"), tensorboard=at.tensorboard("train_mesh_head"),
    threads: 8
    resources: gpu=1, mem_mb=doubling(12_000), runtime=600
    message: "training the mesh head of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.train_mesh_head --images {input.images:q} --cameras {input.cameras:q} --background {input.background:q}"
        " --mattes {input.mattes:q} --masks {input.masks:q} --landmarks {input.landmarks:q} --params {input.params:q} --model {input.model:q}"
        " --verdict {input.verdict:q} --state {params.state:q} --tensorboard {params.tensorboard:q} --code {params.code:q}"
        " --settings {params.settings:q} --output {output:q} --log {log:q}"


rule grow_hair:
    """The strands that training starts with: grown from the scalp through the pictures of the first frame, or those of a file."""
    input:
        images=at.images, cameras=at.cameras, background=at.background, mattes=at.mattes, masks=at.hair_masks,
        orientation=at.orientation_maps, params=at.driver_params, model=at.head_model.format(model=settings.fitting.model),
        mesh_head=at.mesh_head, **plan.strand_file,
    output: at.hair_strands
    log: at.log("grow_hair")
    benchmark: at.benchmark("grow_hair")
    conda: "../envs/training.yaml"
    params:
        code=code_hash("headcast.stages.grow_hair"), settings=settings.settings("hair", "held_out"),
        own=lambda wildcards, input: ["--file", input.own] if input.get("own") else [],
    threads: 4
    resources: mem_mb=doubling(8_000), runtime=120
    message: "growing the hair of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.grow_hair --images {input.images:q} --cameras {input.cameras:q} --background {input.background:q}"
        " --mattes {input.mattes:q} --masks {input.masks:q} --orientation {input.orientation:q} --params {input.params:q}"
        " --model {input.model:q} --mesh-head {input.mesh_head:q} {params.own:q} --settings {params.settings:q} --output {output:q}"
        " --log {log:q}"


rule train_avatar:
    """Stage two: Gaussian head and strand hair, trained together; held-out cameras and frames are never seen."""
    input:
        raw=plan.of_sequences(at.download),
        images=plan.of_sequences(at.images), cameras=plan.of_sequences(at.cameras), background=plan.of_sequences(at.background),
        mattes=plan.of_sequences(at.mattes), masks=plan.of_sequences(at.hair_masks), landmarks=plan.of_sequences(at.landmarks),
        orientation=plan.of_sequences(at.orientation_maps), params=plan.of_sequences(at.driver_params),
        model=at.head_model.format(model=settings.fitting.model), mesh_head=at.mesh_head, hair=at.hair_strands,
    output: at.avatar
    log: at.log("train_avatar")
    benchmark: at.benchmark("train_avatar")
    conda: "../envs/training.yaml"
    params:
        code=code_hash("headcast.stages.train_avatar"), settings=settings.settings("training", "held_out"),
        state=at.state("train_avatar"), tensorboard=at.tensorboard("train_avatar"),
        config=settings.settings("extraction", "matting", "landmarks", "fitting", "hair_masks", "orientation_maps", "mesh_head", "hair"),
    threads: 8
    resources: gpu=settings.training.processes, mem_mb=doubling(16_000 * settings.training.processes), runtime=2_880
    message: "training the avatar {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.train_avatar --raw {input.raw:q} --images {input.images:q} --cameras {input.cameras:q} --background {input.background:q}"
        " --mattes {input.mattes:q} --masks {input.masks:q} --landmarks {input.landmarks:q} --orientation {input.orientation:q}"
        " --params {input.params:q} --model {input.model:q} --mesh-head {input.mesh_head:q} --hair {input.hair:q} --config {params.config:q}"
        " --state {params.state:q} --tensorboard {params.tensorboard:q} --code {params.code:q} --settings {params.settings:q}"
        " --output {output:q} --log {log:q}"
