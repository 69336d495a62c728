"""What spark-submit runs: the genrepipe command, with the words after the file.

spark-submit --master spark://host:7077 score.py run score_spark.yaml --set run_date=2026-11-22
"""

from genrepipe.__main__ import main

main()
