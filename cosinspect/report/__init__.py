"""What the checks found, as values: the report, its findings, its verdict, and its lines of text.

It may import `signatures`, and nothing that reads images. `Report.to_dict` is the published schema: keys are added, never changed.
`display` makes text from an image safe to print; `lines` are the sentences that several formats share.
"""
