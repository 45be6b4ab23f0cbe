-- A ledger of schema version 2, as its program left it: one triage whose plan waits for approval.
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
	resolved_at VARCHAR(32), 
	PRIMARY KEY (repository, run_id, run_attempt), 
	FOREIGN KEY(execution_id) REFERENCES executions (id), 
	FOREIGN KEY(incident_id) REFERENCES incidents (id)
);
INSERT INTO "attempts" VALUES('acme/voice-agent',17000000001,1,'5b1f0c1e-0000-4000-8000-000000000001',1,NULL);
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
INSERT INTO "audit" VALUES(1,'2026-03-02T09:00:00.000000+00:00','runbook','execution.begun','execution:5b1f0c1e-0000-4000-8000-000000000001','{"procedure": "triage-failed-run", "repository": "acme/voice-agent", "subject": "run 17000000001"}','0000000000000000000000000000000000000000000000000000000000000000','a833b6d8e0e85b208d1ccfbb942163df33a6f6aa419619635017918018a39e79');
INSERT INTO "audit" VALUES(2,'2026-03-02T09:00:00.000000+00:00','runbook','attempt.claimed','execution:5b1f0c1e-0000-4000-8000-000000000001','{"repository": "acme/voice-agent", "run_id": 17000000001, "run_attempt": 1}','a833b6d8e0e85b208d1ccfbb942163df33a6f6aa419619635017918018a39e79','5933ca32755e6157bb85c8632d5ad0bc18649edb6f102adaa0d0a016c970e5d4');
INSERT INTO "audit" VALUES(3,'2026-03-02T09:00:00.000000+00:00','runbook','incident.opened','incident:1','{"execution": "5b1f0c1e-0000-4000-8000-000000000001", "severity": "P0"}','5933ca32755e6157bb85c8632d5ad0bc18649edb6f102adaa0d0a016c970e5d4','c19a357849f0c6420c113b656a6b3e5ecfa9ae7da363fef2ce27866d2234f51f');
INSERT INTO "audit" VALUES(4,'2026-03-02T09:00:00.000000+00:00','runbook','incident.issue_opened','incident:1','{"issue": 12}','c19a357849f0c6420c113b656a6b3e5ecfa9ae7da363fef2ce27866d2234f51f','637304d7886a32ecc48c062aad2a852b3b52ed5a5c6399cf5495d35b6ba6c505');
INSERT INTO "audit" VALUES(5,'2026-03-02T09:00:00.000000+00:00','runbook','plan.made','plan:7d6a7d6c-1a9b-41cd-85ad-a466a2721cdd','{"digest": "4afb41fedef3242d88c4b18d7c6f25d6c2a4e5937dca30f0553444921b25ec0b", "effects": 2}','637304d7886a32ecc48c062aad2a852b3b52ed5a5c6399cf5495d35b6ba6c505','12b2ff81bb831823668d471ed05967a75e780568fe68680e891b8791670a52bd');
INSERT INTO "audit" VALUES(6,'2026-03-02T09:00:00.000000+00:00','runbook','plan.shown','plan:7d6a7d6c-1a9b-41cd-85ad-a466a2721cdd','{"repository": "acme/incidents", "issue": 12, "comment": 3000000001}','12b2ff81bb831823668d471ed05967a75e780568fe68680e891b8791670a52bd','a08ff01cf738cb13526e920a062eac0827076f3b7d44f3c9809904e804366074');
INSERT INTO "audit" VALUES(7,'2026-03-02T09:00:00.000000+00:00','runbook','execution.waiting','execution:5b1f0c1e-0000-4000-8000-000000000001','{"reason": "waits for approval"}','a08ff01cf738cb13526e920a062eac0827076f3b7d44f3c9809904e804366074','ad1ff12dd039fea725a251bda97b129ae281dfff5a04093706bece07516e1c7b');
CREATE TABLE deliveries (
	id TEXT NOT NULL, 
	event TEXT NOT NULL, 
	action TEXT NOT NULL, 
	repository TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	body BLOB NOT NULL, 
	state TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	tries INTEGER NOT NULL, 
	received_at VARCHAR(32) NOT NULL, 
	due_at VARCHAR(32) NOT NULL, 
	handled_at VARCHAR(32), 
	PRIMARY KEY (id)
);
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
INSERT INTO "effects" VALUES(1,'7d6a7d6c-1a9b-41cd-85ad-a466a2721cdd/0','5b1f0c1e-0000-4000-8000-000000000001','7d6a7d6c-1a9b-41cd-85ad-a466a2721cdd',0,'delete-cache-entries','idempotent','{"repository": "acme/voice-agent", "key": "pip-Linux-0f3a", "ref": "refs/heads/main", "cache_ids": [1, 2]}','planned',0,NULL,NULL,'',NULL,NULL,NULL);
INSERT INTO "effects" VALUES(2,'7d6a7d6c-1a9b-41cd-85ad-a466a2721cdd/1','5b1f0c1e-0000-4000-8000-000000000001','7d6a7d6c-1a9b-41cd-85ad-a466a2721cdd',1,'rerun-failed-jobs','probeable','{"repository": "acme/voice-agent", "run_id": 17000000001, "failed_attempt": 1, "workflow_file": "ci-test.yml"}','planned',0,NULL,NULL,'',NULL,NULL,NULL);
CREATE TABLE executions (
	id TEXT NOT NULL, 
	procedure TEXT NOT NULL, 
	repository TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	request_digest TEXT DEFAULT '' NOT NULL, 
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
INSERT INTO "executions" VALUES('5b1f0c1e-0000-4000-8000-000000000001','triage-failed-run','acme/voice-agent','run 17000000001','83d418b41c212d109e815a9896b727cc98d3cb3006522748f955b91b0f98ae48','runbook','product','waiting','waits for approval',1,'vm/540a7a0b-ccde-4a7b-b7c5-db1823c5fc5a/pid:[4026531836]/18342/4460061',0,'2026-03-02T09:00:00.000000+00:00','2026-03-02T09:00:00.000000+00:00',NULL);
CREATE TABLE incidents (
	id INTEGER NOT NULL, 
	repository TEXT NOT NULL, 
	issues_repository TEXT NOT NULL, 
	issue_number INTEGER, 
	issue_url TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	scope TEXT DEFAULT '' NOT NULL, 
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
INSERT INTO "incidents" VALUES(1,'acme/voice-agent','acme/incidents',12,'https://github.com/acme/incidents/issues/12','f00d','branch:main','cache_corruption','P0','P0: ci-test.yml on main: cache corruption','open','','{"run_id": 17000000001, "run_attempt": 1, "failed_at": "2026-03-02T08:55:00+00:00"}','2026-03-02T09:00:00.000000+00:00',NULL);
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
INSERT INTO "meta" VALUES(1,2);
CREATE TABLE open_targets (
	target TEXT NOT NULL, 
	execution_id TEXT NOT NULL, 
	PRIMARY KEY (target), 
	FOREIGN KEY(execution_id) REFERENCES executions (id)
);
INSERT INTO "open_targets" VALUES('cache:acme/voice-agent','5b1f0c1e-0000-4000-8000-000000000001');
INSERT INTO "open_targets" VALUES('run:acme/voice-agent:17000000001','5b1f0c1e-0000-4000-8000-000000000001');
CREATE TABLE page_decisions (
	id INTEGER NOT NULL, 
	plan_id TEXT NOT NULL, 
	login TEXT NOT NULL, 
	decision TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	code_step INTEGER NOT NULL, 
	decided_at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT a_code_counts_once UNIQUE (login, code_step), 
	FOREIGN KEY(plan_id) REFERENCES plans (id)
);
CREATE TABLE page_refusals (
	id INTEGER NOT NULL, 
	login TEXT NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id)
);
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
INSERT INTO "plans" VALUES('7d6a7d6c-1a9b-41cd-85ad-a466a2721cdd','4afb41fedef3242d88c4b18d7c6f25d6c2a4e5937dca30f0553444921b25ec0b','5b1f0c1e-0000-4000-8000-000000000001','triage-failed-run','acme/voice-agent','{"procedure": "triage-failed-run", "repository": "acme/voice-agent", "effects": [{"kind": "delete-cache-entries", "effect_class": "idempotent", "target": "cache:acme/voice-agent", "params": {"repository": "acme/voice-agent", "key": "pip-Linux-0f3a", "ref": "refs/heads/main", "cache_ids": [1, 2]}}, {"kind": "rerun-failed-jobs", "effect_class": "probeable", "target": "run:acme/voice-agent:17000000001", "params": {"repository": "acme/voice-agent", "run_id": 17000000001, "failed_attempt": 1, "workflow_file": "ci-test.yml"}}]}','{"title": "clear 2 caches, re-run", "why": "the cache is corrupt", "remedy": "clear_implicated_caches+rerun_failed_jobs", "failure_class": "cache_corruption", "blast_radius": "one slower build", "if_nobody_acts": "builds keep failing", "history": "", "not_before": null, "from_pull_request": false, "tables": []}','clear_implicated_caches+rerun_failed_jobs','cache_corruption','waiting','',0,'acme/incidents',12,'https://github.com/acme/incidents/issues/12',3000000001,'2026-03-02T09:00:00.000000+00:00','2026-03-03T09:00:00.000000+00:00',NULL,NULL);
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
CREATE INDEX incidents_by_state ON incidents (state, repository, closed_at);
CREATE INDEX incidents_by_fingerprint ON incidents (repository, fingerprint, state);
CREATE INDEX incidents_by_time ON incidents (repository, fingerprint, opened_at);
CREATE INDEX ix_deliveries_key ON deliveries ("key");
CREATE INDEX deliveries_by_state ON deliveries (state, due_at);
CREATE INDEX page_refusals_by_login ON page_refusals (login, at);
CREATE INDEX ix_audit_subject ON audit (subject);
CREATE INDEX ix_executions_incident_id ON executions (incident_id);
CREATE INDEX ix_executions_state ON executions (state);
CREATE INDEX executions_by_requester ON executions (requester, started_at);
CREATE INDEX ix_open_targets_execution_id ON open_targets (execution_id);
CREATE INDEX ix_attempts_execution_id ON attempts (execution_id);
CREATE INDEX ix_attempts_incident_id ON attempts (incident_id);
CREATE UNIQUE INDEX one_waiting_plan_per_digest ON plans (digest) WHERE state = 'waiting';
CREATE INDEX plans_by_remedy ON plans (remedy, failure_class, state);
CREATE INDEX ix_plans_state ON plans (state);
CREATE INDEX ix_plans_execution_id ON plans (execution_id);
CREATE INDEX ix_plans_digest ON plans (digest);
CREATE INDEX ix_effects_plan_id ON effects (plan_id);
CREATE INDEX effects_by_kind ON effects (kind, claimed_at);
CREATE INDEX ix_effects_execution_id ON effects (execution_id);
CREATE INDEX ix_approvals_plan_id ON approvals (plan_id);
CREATE INDEX ix_page_decisions_plan_id ON page_decisions (plan_id);
COMMIT;
