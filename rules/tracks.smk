ruleorder: import_vhap > extract_frames
ruleorder: import_vhap > matting
ruleorder: import_vhap > fit_head


rule import_vhap:
    """Take pictures, mattes, cameras and the fitted head from a capture that VHAP tracked."""
    input: raw=at.download, model=at.head_model.format(model="flame")
    output:
        images=at.images, cameras=at.cameras, background=at.background, mattes=at.mattes, params=at.driver_params,
        surface=at.surface_params,
    wildcard_constraints: subject=plan.taken_from("vhap")
    log: at.log("import_vhap")
    benchmark: at.benchmark("import_vhap")
    conda: "../envs/parsing.yaml"
    params:
        code=code_hash("headcast.stages.import_vhap"), settings=settings.settings("extraction", "fitting"), root=plan.root, fps=plan.rate
    threads: 4
    resources: mem_mb=doubling(4_000), runtime=120
    message: "taking the track of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.import_vhap --subject {wildcards.subject:q} --sequence {wildcards.sequence:q} --data-root {params.root:q}"
        " --fps {params.fps} --model {input.model:q} --settings {params.settings:q} --images {output.images:q} --cameras {output.cameras:q}"
        " --background {output.background:q} --mattes {output.mattes:q} --params {output.params:q} --surface {output.surface:q}"
        " --workers {threads} --log {log:q}"


rule export_vhap:
    """Write a fitted FLAME track with its pictures and mattes in the layout of VHAP's export, for GaussianAvatars and its viewers."""
    input: images=at.images, cameras=at.cameras, mattes=at.mattes, surface=at.surface_params, model=plan.flame
    output: at.export_vhap
    log: at.log("export_vhap")
    benchmark: at.benchmark("export_vhap")
    conda: "../envs/parsing.yaml"
    params: code=code_hash("headcast.stages.export_vhap"), settings=settings.settings("fitting", "held_out")
    threads: 4
    resources: mem_mb=doubling(4_000), runtime=120
    message: "writing the track of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.export_vhap --subject {wildcards.subject:q} --sequence {wildcards.sequence:q} --images {input.images:q}"
        " --cameras {input.cameras:q} --mattes {input.mattes:q} --surface {input.surface:q} --model {input.model:q}"
        " --settings {params.settings:q} --output {output:q} --workers {threads} --log {log:q}"
