rule summarise:
    """Lay the results of all configured subjects and sequences side by side."""
    input: plan.each(at.evaluation)
    output:
        table=report(at.summary_table, category="results", caption="report/summary.rst", labels={"what": "table"}),
        page=report(at.summary_page, category="results", caption="report/summary.rst", labels={"what": "page"}),
    log: "results/logs/summarise.log"
    benchmark: "results/benchmarks/summarise.tsv"
    conda: "../envs/evaluation.yaml"
    params: code=code_hash("headcast.stages.summarise"), roll=plan.roll()
    resources: mem_mb=doubling(1_000), runtime=30
    message: "summarising all subjects"
    shell:
        "python -m scripts.summarise --roll {params.roll:q} --table {output.table:q} --page {output.page:q} --log {log:q}"
