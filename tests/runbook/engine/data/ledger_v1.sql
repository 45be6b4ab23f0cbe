-- A ledger of schema version 1, as its program left it: one triage whose plan waits for approval.
BEGIN TRANSACTION;
CREATE TABLE approvals (
	id INTEGER NOT NULL, 
	plan_id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	proof TEXT NOT NULL, 
	login TEXT, 
	decision TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	policy_digest TEXT NOT NULL, 
	recorded_at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(plan_id) REFERENCES plans (id), 
	UNIQUE (proof)
);
CREATE TABLE attempts (
	repository TEXT NOT NULL, 
	run_id INTEGER NOT NULL, 
	run_attempt INTEGER NOT NULL, 
	execution_id TEXT NOT NULL, 
	incident_id INTEGER, 
	PRIMARY KEY (repository, run_id, run_attempt), 
	FOREIGN KEY(execution_id) REFERENCES executions (id), 
	FOREIGN KEY(incident_id) REFERENCES incidents (id)
);
INSERT INTO "attempts" VALUES('acme/voice-agent',17000000001,1,'5b1f0c1e-0000-4000-8000-000000000001',1);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	actor TEXT NOT NULL, 
	event TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	body JSON NOT NULL, 
	previous_hash TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(1,'2026-03-02T09:00:00.000000+00:00','runbook','execution.begun','execution:5b1f0c1e-0000-4000-8000-000000000001','{"procedure": "triage-failed-run", "repository": "acme/voice-agent", "subject": "run 7001 of ci-test.yml"}','0000000000000000000000000000000000000000000000000000000000000000','bc8d86c669ae177fdf72af37712cdbbeb4a302854c89074e2fbf2e128c199149');
INSERT INTO "audit" VALUES(2,'2026-03-02T09:00:00.000000+00:00','runbook','attempt.claimed','execution:5b1f0c1e-0000-4000-8000-000000000001','{"repository": "acme/voice-agent", "run_id": 17000000001, "run_attempt": 1}','bc8d86c669ae177fdf72af37712cdbbeb4a302854c89074e2fbf2e128c199149','7d123237b7b633fb4c6cf63839a29c5ea91d4ec2aaca74a80056ca766d8b5796');
INSERT INTO "audit" VALUES(3,'2026-03-02T09:00:00.000000+00:00','runbook','incident.opened','incident:1','{"execution": "5b1f0c1e-0000-4000-8000-000000000001", "severity": "P0"}','7d123237b7b633fb4c6cf63839a29c5ea91d4ec2aaca74a80056ca766d8b5796','7018fb6b94ce5e831e52e6351a7cf514e117f47eebb50cc82f7647201d821af9');
INSERT INTO "audit" VALUES(4,'2026-03-02T09:00:00.000000+00:00','runbook','incident.issue_opened','incident:1','{"issue": 12}','7018fb6b94ce5e831e52e6351a7cf514e117f47eebb50cc82f7647201d821af9','952bbe193f0b9477a0857c1798f44c42a4c7db905c6a51e694d7d9db04dae0d3');
INSERT INTO "audit" VALUES(5,'2026-03-02T09:00:00.000000+00:00','runbook','plan.made','plan:0b1df1a6-7953-45a0-9099-d1a474662dd5','{"digest": "f9225e5f8c6c4e61c1c54158d8ca24353e8a9343e976acc7427d6c0c99060c99", "effects": 2}','952bbe193f0b9477a0857c1798f44c42a4c7db905c6a51e694d7d9db04dae0d3','fcf14bf6fd3dedeee3bd4df58703b21942fa9a19b70550007c2935d6f9bfc4a9');
INSERT INTO "audit" VALUES(6,'2026-03-02T09:00:00.000000+00:00','runbook','plan.shown','plan:0b1df1a6-7953-45a0-9099-d1a474662dd5','{"repository": "acme/incidents", "issue": 12, "comment": 3000000001}','fcf14bf6fd3dedeee3bd4df58703b21942fa9a19b70550007c2935d6f9bfc4a9','99f4bd928190d4b03603866e2823ef3d3e3ccb8738ee4eba0f7dd0c4b0110002');
INSERT INTO "audit" VALUES(7,'2026-03-02T09:00:00.000000+00:00','runbook','execution.waiting','execution:5b1f0c1e-0000-4000-8000-000000000001','{"reason": "waits for approval"}','99f4bd928190d4b03603866e2823ef3d3e3ccb8738ee4eba0f7dd0c4b0110002','316c7c6bb35fefcb5892e329d9e8dc90666bdf245f75f5acd3726540746e7e43');
CREATE TABLE effects (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	execution_id TEXT NOT NULL, 
	plan_id TEXT, 
	position INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	effect_class TEXT NOT NULL, 
	params JSON NOT NULL, 
	state TEXT NOT NULL, 
	sends INTEGER NOT NULL, 
	lease_token INTEGER, 
	result JSON, 
	note TEXT NOT NULL, 
	claimed_at VARCHAR(32), 
	confirmed_at VARCHAR(32), 
	undone_at VARCHAR(32), 
	PRIMARY KEY (id), 
	UNIQUE ("key"), 
	FOREIGN KEY(execution_id) REFERENCES executions (id), 
	FOREIGN KEY(plan_id) REFERENCES plans (id)
);
INSERT INTO "effects" VALUES(1,'0b1df1a6-7953-45a0-9099-d1a474662dd5/0','5b1f0c1e-0000-4000-8000-000000000001','0b1df1a6-7953-45a0-9099-d1a474662dd5',0,'delete-cache-entries','idempotent','{"repository": "acme/voice-agent", "key": "pip-Linux-0badcafe", "ref": "refs/heads/main", "cache_ids": [41, 42]}','planned',0,NULL,NULL,'',NULL,NULL,NULL);
INSERT INTO "effects" VALUES(2,'0b1df1a6-7953-45a0-9099-d1a474662dd5/1','5b1f0c1e-0000-4000-8000-000000000001','0b1df1a6-7953-45a0-9099-d1a474662dd5',1,'rerun-failed-jobs','probeable','{"repository": "acme/voice-agent", "run_id": 17000000001, "failed_attempt": 1, "workflow_file": "ci-test.yml"}','planned',0,NULL,NULL,'',NULL,NULL,NULL);
CREATE TABLE executions (
	id TEXT NOT NULL, 
	procedure TEXT NOT NULL, 
	repository TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	requester TEXT, 
	requester_kind TEXT NOT NULL, 
	state TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	incident_id INTEGER, 
	process TEXT NOT NULL, 
	revivals INTEGER NOT NULL, 
	started_at VARCHAR(32) NOT NULL, 
	heartbeat_at VARCHAR(32) NOT NULL, 
	ended_at VARCHAR(32), 
	PRIMARY KEY (id), 
	FOREIGN KEY(incident_id) REFERENCES incidents (id)
);
INSERT INTO "executions" VALUES('5b1f0c1e-0000-4000-8000-000000000001','triage-failed-run','acme/voice-agent','run 7001 of ci-test.yml','runbook','product','waiting','waits for approval',1,'host/boot/pid:[1]/15125/1828069',0,'2026-03-02T09:00:00.000000+00:00','2026-03-02T09:00:00.000000+00:00',NULL);
CREATE TABLE incidents (
	id INTEGER NOT NULL, 
	repository TEXT NOT NULL, 
	issues_repository TEXT NOT NULL, 
	issue_number INTEGER, 
	issue_url TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	failure_class TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	title TEXT NOT NULL, 
	state TEXT NOT NULL, 
	resolution TEXT NOT NULL, 
	detail JSON NOT NULL, 
	opened_at VARCHAR(32) NOT NULL, 
	closed_at VARCHAR(32), 
	PRIMARY KEY (id)
);
INSERT INTO "incidents" VALUES(1,'acme/voice-agent','acme/incidents',12,'https://github.com/acme/incidents/issues/12','f1','cache_corruption','P0','P0: ci-test.yml on main: cache corruption','open','','{"run_id": 17000000001, "run_attempt": 1}','2026-03-02T09:00:00.000000+00:00',NULL);
CREATE TABLE leases (
	target TEXT NOT NULL, 
	token INTEGER NOT NULL, 
	execution_id TEXT, 
	process TEXT NOT NULL, 
	expires_at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (target)
);
CREATE TABLE meta (
	id INTEGER NOT NULL, 
	schema_version INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "meta" VALUES(1,1);
CREATE TABLE open_targets (
	target TEXT NOT NULL, 
	execution_id TEXT NOT NULL, 
	PRIMARY KEY (target), 
	FOREIGN KEY(execution_id) REFERENCES executions (id)
);
INSERT INTO "open_targets" VALUES('cache:acme/voice-agent','5b1f0c1e-0000-4000-8000-000000000001');
INSERT INTO "open_targets" VALUES('run:acme/voice-agent:17000000001','5b1f0c1e-0000-4000-8000-000000000001');
CREATE TABLE plans (
	id TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	execution_id TEXT NOT NULL, 
	procedure TEXT NOT NULL, 
	repository TEXT NOT NULL, 
	body JSON NOT NULL, 
	"view" JSON NOT NULL, 
	remedy TEXT NOT NULL, 
	failure_class TEXT NOT NULL, 
	state TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	asks INTEGER NOT NULL, 
	issues_repository TEXT, 
	issue_number INTEGER, 
	issue_url TEXT NOT NULL, 
	comment_id INTEGER, 
	created_at VARCHAR(32) NOT NULL, 
	expires_at VARCHAR(32) NOT NULL, 
	applied_at VARCHAR(32), 
	ended_at VARCHAR(32), 
	PRIMARY KEY (id), 
	FOREIGN KEY(execution_id) REFERENCES executions (id)
);
INSERT INTO "plans" VALUES('0b1df1a6-7953-45a0-9099-d1a474662dd5','f9225e5f8c6c4e61c1c54158d8ca24353e8a9343e976acc7427d6c0c99060c99','5b1f0c1e-0000-4000-8000-000000000001','triage-failed-run','acme/voice-agent','{"procedure": "triage-failed-run", "repository": "acme/voice-agent", "effects": [{"kind": "delete-cache-entries", "effect_class": "idempotent", "target": "cache:acme/voice-agent", "params": {"repository": "acme/voice-agent", "key": "pip-Linux-0badcafe", "ref": "refs/heads/main", "cache_ids": [41, 42]}}, {"kind": "rerun-failed-jobs", "effect_class": "probeable", "target": "run:acme/voice-agent:17000000001", "params": {"repository": "acme/voice-agent", "run_id": 17000000001, "failed_attempt": 1, "workflow_file": "ci-test.yml"}}]}','{"title": "t", "why": "w", "remedy": "r", "failure_class": "cache_corruption", "blast_radius": "b", "if_nobody_acts": "n", "history": "", "tables": []}','r','cache_corruption','waiting','',0,'acme/incidents',12,'https://github.com/acme/incidents/issues/12',3000000001,'2026-03-02T09:00:00.000000+00:00','2026-03-03T09:00:00.000000+00:00',NULL,NULL);
CREATE TABLE requests (
	id TEXT NOT NULL, 
	procedure TEXT NOT NULL, 
	request_digest TEXT NOT NULL, 
	requester TEXT NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	execution_id TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (execution_id)
);
CREATE INDEX incidents_by_fingerprint ON incidents (repository, fingerprint, state);
CREATE INDEX ix_executions_state ON executions (state);
CREATE INDEX ix_open_targets_execution_id ON open_targets (execution_id);
CREATE INDEX ix_attempts_incident_id ON attempts (incident_id);
CREATE INDEX plans_by_remedy ON plans (remedy, failure_class, state);
CREATE UNIQUE INDEX one_waiting_plan_per_digest ON plans (digest) WHERE state = 'waiting';
CREATE INDEX ix_plans_execution_id ON plans (execution_id);
CREATE INDEX ix_plans_state ON plans (state);
CREATE INDEX ix_effects_plan_id ON effects (plan_id);
CREATE INDEX ix_effects_execution_id ON effects (execution_id);
CREATE INDEX ix_approvals_plan_id ON approvals (plan_id);
COMMIT;
