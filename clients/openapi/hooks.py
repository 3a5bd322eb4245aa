"""What no check of the tool's own asks: that no answer is larger than all that is stored."""

import schemathesis

# Far more than the made up requests can have written, and far less than what would hurt.
BYTES_MAX = 64 * 1024 * 1024


@schemathesis.check
def bounded(ctx, response, case):
    assert len(response.content) <= BYTES_MAX, "the answer has no bound"
