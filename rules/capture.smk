rule download:
    """Make sure that the raw capture is there, whole and plausible; fetch it where a link is given."""
    output: at.download
    log: at.log("download")
    benchmark: at.benchmark("download")
    conda: "../envs/capture.yaml"
    params:
        code=code_hash("headcast.stages.download"), settings=settings.settings("extraction"), root=plan.root, reader=plan.reader,
        raw=plan.raw,
    resources: mem_mb=doubling(1_000), runtime=240
    message: "checking the raw capture of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.download --subject {wildcards.subject:q} --sequence {wildcards.sequence:q} --data-root {params.root:q}"
        " --reader {params.reader:q} --settings {params.settings:q} --state {params.raw:q} --output {output:q} --log {log:q}"


rule extract_frames:
    """Decode, colour-correct, crop and resize the frames of every camera, with cameras and plates."""
    input: at.download
    output: images=at.images, cameras=at.cameras, background=at.background
    log: at.log("extract_frames")
    benchmark: at.benchmark("extract_frames")
    conda: "../envs/capture.yaml"
    params: code=code_hash("headcast.stages.extract_frames"), settings=settings.settings("extraction"), root=plan.root, reader=plan.reader
    threads: 4
    resources: mem_mb=doubling(4_000), runtime=60
    message: "extracting the frames of {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.extract_frames --raw {input:q} --subject {wildcards.subject:q} --sequence {wildcards.sequence:q}"
        " --data-root {params.root:q} --reader {params.reader:q} --settings {params.settings:q} --images {output.images:q}"
        " --cameras {output.cameras:q} --background {output.background:q} --workers {threads} --log {log:q}"


ruleorder: import_gha > extract_frames
ruleorder: import_gha > matting
ruleorder: import_gha > landmarks
ruleorder: import_gha > hair_masks
ruleorder: import_gha > orientation_maps


rule import_gha:
    """Take every product before the fit from a folder that was preprocessed for Gaussian Head Avatar."""
    input: at.download
    output:
        images=at.images, cameras=at.cameras, background=at.background, mattes=at.mattes, masks=at.hair_masks,
        orientation=at.orientation_maps, landmarks=at.landmarks,
    wildcard_constraints: subject=plan.taken_from("gha")
    log: at.log("import_gha")
    benchmark: at.benchmark("import_gha")
    conda: "../envs/parsing.yaml"
    params:
        code=code_hash("headcast.stages.import_gha"), settings=settings.settings("extraction"), root=plan.root, fps=plan.rate
    threads: 4
    resources: mem_mb=doubling(4_000), runtime=120
    message: "taking the preprocessed {wildcards.subject}/{wildcards.sequence}"
    shell:
        "python -m scripts.import_gha --subject {wildcards.subject:q} --sequence {wildcards.sequence:q} --data-root {params.root:q}"
        " --fps {params.fps} --settings {params.settings:q} --images {output.images:q} --cameras {output.cameras:q}"
        " --background {output.background:q} --mattes {output.mattes:q} --masks {output.masks:q} --orientation {output.orientation:q}"
        " --landmarks {output.landmarks:q} --workers {threads} --log {log:q}"
