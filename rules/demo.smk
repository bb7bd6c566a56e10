rule demo_capture:
    """Make the embedded demo subject anew (assets/demo holds a copy): CC0 head, own hair, motion and pictures."""
    output: "results/demo_capture/capture/files.json"
    log: "results/demo_capture/logs/demo_capture.log"
    benchmark: "results/demo_capture/benchmarks/demo_capture.tsv"
    conda: "../envs/blender.yaml"
    params: code=code_hash("headcast.stages.demo_capture"), work="results/demo_capture/work", device="raster", samples=64
    threads: 4
    resources: mem_mb=doubling(8_000), runtime=1_440
    message: "making the demo capture in {params.work} (an hour; the same command goes on after an interruption)"
    shell:
        "python -m scripts.demo_capture --work {params.work:q} --device {params.device:q} --samples {params.samples:q}"
        " --workers {threads} --output {output:q} --log {log:q}"
