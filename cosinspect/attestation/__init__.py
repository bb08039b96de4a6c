"""The verdict as a signed statement beside the image, so that others can enforce it with no server of ours."""
