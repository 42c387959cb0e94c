"""ms-swift: what its loader, which tells formats apart by itself, makes of a file."""

import json
import sys

from swift.dataset import load_dataset

rows, _ = load_dataset(sys.argv[1], num_proc=1)
print(json.dumps([[row["messages"], row.get("rejected_response")] for row in rows]))
