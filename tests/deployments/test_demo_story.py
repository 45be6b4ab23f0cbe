"""The demo's story: what it says when the product breaks its word."""

from deployments.demo.story import effects_among


def test_what_was_written_without_approval_is_named_as_people_write_it() -> None:
    issues = "/repos/acme/voice-agent/issues"
    writes = [
        {"method": "POST", "path": issues, "status": 201},
        {"method": "POST", "path": f"{issues}/1/comments", "status": 201},
        {"method": "POST", "path": "/repos/acme/voice-agent/labels", "status": 201},
        {"method": "DELETE", "path": "/repos/acme/voice-agent/actions/caches", "status": 200},
    ]
    assert effects_among(writes) == ["DELETE /repos/acme/voice-agent/actions/caches"]
