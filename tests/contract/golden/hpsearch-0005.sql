BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE hpsearch_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	PRIMARY KEY (version_num)
);
INSERT INTO "hpsearch_alembic_version" VALUES('0005');
CREATE TABLE hpsearch_attempts (
	study_key VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	worker VARCHAR(190), 
	why TEXT NOT NULL, 
	crashed BOOLEAN NOT NULL, 
	epochs INTEGER NOT NULL, 
	ended DOUBLE NOT NULL, 
	started DOUBLE, 
	kind VARCHAR(16), 
	kept INTEGER, 
	PRIMARY KEY (study_key, number, attempt)
);
INSERT INTO "hpsearch_attempts" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',6,1,'ann','out of memory',1,1,1.7960032099630191326e+09,1796003209.95799,'crashed',NULL);
INSERT INTO "hpsearch_attempts" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',5,1,'ann','stopped',0,0,1.79600320998398065562e+09,1796003209.95799,'handed_back',NULL);
CREATE TABLE hpsearch_blobs (
	digest VARCHAR(64) NOT NULL, 
	payload BLOB NOT NULL, 
	PRIMARY KEY (digest)
);
CREATE TABLE hpsearch_data (
	study_key VARCHAR(36) NOT NULL, 
	file VARCHAR(255) NOT NULL, 
	part INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	PRIMARY KEY (study_key, file, part)
);
CREATE TABLE hpsearch_evaluations (
	study_key VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	part VARCHAR(16) NOT NULL, 
	seed BIGINT NOT NULL, 
	loss DOUBLE, 
	accuracy DOUBLE, 
	made DOUBLE NOT NULL, 
	score DOUBLE, 
	PRIMARY KEY (study_key, number, part, seed)
);
INSERT INTO "hpsearch_evaluations" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',0,'validation',1,0.25,0.5,1.79600321001101732257e+09,NULL);
INSERT INTO "hpsearch_evaluations" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',0,'validation',2,0.25,NULL,1.79600321001101732257e+09,-0.25);
INSERT INTO "hpsearch_evaluations" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',1,'test',1,0.25,0.5,1.79600321001101732257e+09,NULL);
CREATE TABLE hpsearch_notifications (
	study_key VARCHAR(36) NOT NULL, 
	event VARCHAR(32) NOT NULL, 
	subject VARCHAR(64) NOT NULL, 
	claimed_until DOUBLE NOT NULL, 
	sent DOUBLE, 
	PRIMARY KEY (study_key, event, subject)
);
CREATE TABLE hpsearch_notify (
	study_key VARCHAR(36) NOT NULL, 
	urls TEXT NOT NULL, 
	PRIMARY KEY (study_key)
);
CREATE TABLE hpsearch_series (
	study_key VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	format INTEGER NOT NULL, 
	payload BLOB NOT NULL, 
	PRIMARY KEY (study_key, number)
);
INSERT INTO "hpsearch_series" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',0,1,X'789CAB56CA4BCC4D2D56B25288562A294ACCCCCBCC4B8FCFC92F2E568AD55150CA49CD4B2FC9004A1AD572313034D8833000A9FF0F49');
INSERT INTO "hpsearch_series" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',1,1,X'789CAB56CA4BCC4D2D56B25288562A294ACCCCCBCC4B8FCFC92F2E568AD55150CA49CD4B2FC9004A1AD572313034D8833000A9FF0F49');
INSERT INTO "hpsearch_series" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',2,1,X'789CAB56CA4BCC4D2D56B25288562A294ACCCCCBCC4B8FCFC92F2E568AD55150CA49CD4B2FC9004A1AD572313034D8833000A9FF0F49');
INSERT INTO "hpsearch_series" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',3,1,X'789CAB56CA4BCC4D2D56B25288562A294ACCCCCBCC4B8FCFC92F2E568AD55150CA49CD4B2FC9004A1AD572313034D8833000A9FF0F49');
INSERT INTO "hpsearch_series" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',4,1,X'789CAB56CA4BCC4D2D56B25288562A294ACCCCCBCC4B8FCFC92F2E568AD55150CA49CD4B2FC9004A1AD572313034D8833000A9FF0F49');
CREATE TABLE hpsearch_studies (
	study_key VARCHAR(36) NOT NULL, 
	study_id INTEGER NOT NULL, 
	name VARCHAR(512) NOT NULL, 
	spec TEXT NOT NULL, 
	fingerprint VARCHAR(190) NOT NULL, 
	budget INTEGER NOT NULL, 
	priority INTEGER NOT NULL, 
	created DOUBLE NOT NULL, 
	stopped TEXT, 
	hpsearch_version VARCHAR(64) NOT NULL, 
	settled_trial_id INTEGER NOT NULL, 
	settled_complete INTEGER NOT NULL, 
	settled_pruned INTEGER NOT NULL, 
	settled_failed INTEGER NOT NULL, 
	parent VARCHAR(36), 
	unsealing TEXT, 
	edits TEXT, 
	PRIMARY KEY (study_key)
);
INSERT INTO "hpsearch_studies" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',1,'golden','{"configurations": [], "data": {"columns": null, "drop": null, "examples": null, "fault": null, "folds": 0, "group": null, "header": "auto", "scale": "unit", "sealed": "test", "source": "digits", "stratify": false, "target": null, "target_scale": "auto", "task": "auto", "test_fraction": 0.0, "time": null, "types": "auto", "validation_fraction": 0.2}, "metric": "validation_accuracy", "model": {"activation": "relu", "batch_norm": false, "batch_norm_affine": true, "batch_norm_epsilon": 1e-05, "dropout": 0.0, "dropout_layers": "all", "dropout_position": "after_activation", "dropout_scaling": "training", "hidden": [64], "initializer": {"name": "he", "scale": null}, "loss": "auto", "output": "auto", "skip_connections": false}, "name": "golden", "pruning": {"audit": 0.0, "diagnosis": true, "expected": [], "fatal": ["log_zero", "diverged_lr", "exploding", "dead_relu_total", "dead_relu_partial", "born_dead", "neg_plateau", "lr_too_low"], "percentile": 25.0, "rank": "median", "reduction_factor": 4, "startup_trials": 5, "warmup_epochs": 1}, "sampler": {"name": "tpe", "points": 10, "startup_trials": 10}, "search": [{"high": 1.0, "integer": false, "log": true, "low": 1e-06, "name": "learning_rate", "step": null}, {"high": 0.5, "integer": false, "log": false, "low": 0.0, "name": "model.dropout", "step": 0.125}, {"high": 256, "integer": true, "log": true, "low": 16, "name": "training.batch_size", "step": null}, {"choices": ["relu", "tanh", "elu"], "name": "model.activation"}], "seed": 7, "training": {"batch_size": 100, "class_weight": "none", "epochs": 20, "keep": "last", "learning_rate": 0.1, "momentum": 0.9, "optimizer": "sgd", "order": "reshuffle", "precision": "float32", "reduction": "mean", "weight_decay": 0.0}, "trials": 40}','0123456789abcdef',40,3,1.79600320983898043632e+09,NULL,'0.2.0',-1,0,0,0,NULL,'{"number": 1, "command": "hpsearch study test golden", "opened": 1796003210.0180178, "seeds": null}',NULL);
INSERT INTO "hpsearch_studies" VALUES('4ca0b40e-974b-4012-95e0-e1ab7c07ac1c',2,'later','{"configurations": [], "data": {"columns": null, "drop": null, "examples": null, "fault": null, "folds": 0, "group": null, "header": "auto", "scale": "unit", "sealed": "test", "source": "digits", "stratify": false, "target": null, "target_scale": "auto", "task": "auto", "test_fraction": 0.0, "time": null, "types": "auto", "validation_fraction": 0.2}, "metric": "validation_accuracy", "model": {"activation": "relu", "batch_norm": false, "batch_norm_affine": true, "batch_norm_epsilon": 1e-05, "dropout": 0.0, "dropout_layers": "all", "dropout_position": "after_activation", "dropout_scaling": "training", "hidden": [64], "initializer": {"name": "he", "scale": null}, "loss": "auto", "output": "auto", "skip_connections": false}, "name": "later", "pruning": {"audit": 0.0, "diagnosis": true, "expected": [], "fatal": ["log_zero", "diverged_lr", "exploding", "dead_relu_total", "dead_relu_partial", "born_dead", "neg_plateau", "lr_too_low"], "percentile": 25.0, "rank": "median", "reduction_factor": 4, "startup_trials": 5, "warmup_epochs": 1}, "sampler": {"name": "tpe", "points": 10, "startup_trials": 10}, "search": [{"high": 1.0, "integer": false, "log": true, "low": 1e-06, "name": "learning_rate", "step": null}, {"high": 0.5, "integer": false, "log": false, "low": 0.0, "name": "model.dropout", "step": 0.125}, {"high": 256, "integer": true, "log": true, "low": 16, "name": "training.batch_size", "step": null}, {"choices": ["relu", "tanh", "elu"], "name": "model.activation"}], "seed": 0, "training": {"batch_size": 100, "class_weight": "none", "epochs": 20, "keep": "last", "learning_rate": 0.1, "momentum": 0.9, "optimizer": "sgd", "order": "reshuffle", "precision": "float32", "reduction": "mean", "weight_decay": 0.0}, "trials": 5}','0123456789abcdef',5,0,1.7960032099970161915e+09,NULL,'0.2.0',-1,0,0,0,'b881b820-a0b3-48de-ae2d-d85f54c2d728',NULL,NULL);
CREATE TABLE hpsearch_trials (
	study_key VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	crashes INTEGER NOT NULL, 
	token BIGINT NOT NULL, 
	worker VARCHAR(190), 
	lease_until DOUBLE, 
	epochs INTEGER NOT NULL, 
	steps BIGINT NOT NULL, 
	reported INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	verdict VARCHAR(64), 
	finding TEXT, 
	PRIMARY KEY (study_key, number)
);
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',0,1,1,0,905431920585173629,'ann',NULL,2,20,1,2,'healthy','{"cause": "healthy", "confidence": 0.75, "first_step": 3, "evidence": {"loss": 0.5}, "remedy": "nothing to do", "suggested": {}}');
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',1,2,1,0,905431920585173629,'ann',NULL,2,20,1,2,'healthy','{"cause": "healthy", "confidence": 0.75, "first_step": 3, "evidence": {"loss": 0.5}, "remedy": "nothing to do", "suggested": {}}');
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',2,3,1,0,905431920585173629,'ann',NULL,2,20,1,2,'healthy','{"cause": "healthy", "confidence": 0.75, "first_step": 3, "evidence": {"loss": 0.5}, "remedy": "nothing to do", "suggested": {}}');
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',3,4,1,0,4011118455582963538,'ann',NULL,2,20,1,2,'healthy','{"cause": "healthy", "confidence": 0.75, "first_step": 3, "evidence": {"loss": 0.5}, "remedy": "nothing to do", "suggested": {}}');
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',4,5,1,0,854421720773727353,'ann',NULL,2,20,1,2,'healthy','{"cause": "healthy", "confidence": 0.75, "first_step": 3, "evidence": {"loss": 0.5}, "remedy": "nothing to do", "suggested": {}}');
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',5,6,1,0,-1,NULL,NULL,0,0,-1,2,NULL,NULL);
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',6,7,1,1,-1,NULL,NULL,0,0,-1,3,NULL,NULL);
INSERT INTO "hpsearch_trials" VALUES('b881b820-a0b3-48de-ae2d-d85f54c2d728',7,8,1,0,4531378837632523225,'ann',1.17960032099579906466e+10,0,0,-1,1,NULL,NULL);
CREATE TABLE hpsearch_workers (
	worker VARCHAR(190) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	process_id INTEGER NOT NULL, 
	hpsearch_version VARCHAR(64) NOT NULL, 
	started DOUBLE NOT NULL, 
	seen DOUBLE NOT NULL, 
	should_stop BOOLEAN NOT NULL, 
	steady_since DOUBLE, 
	has_parent BOOLEAN, 
	engine VARCHAR(32), 
	node VARCHAR(255), 
	job VARCHAR(190), 
	log VARCHAR(1024), 
	problem VARCHAR(1024), 
	PRIMARY KEY (worker)
);
INSERT INTO "hpsearch_workers" VALUES('ann','laboratory',7,'0.1.0',1.79600321003298473354e+09,1.79600321003298473354e+09,0,1.79600321003298473354e+09,0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'golden');
INSERT INTO "studies" VALUES(2,'later');
INSERT INTO "studies" VALUES(3,'theirs');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MAXIMIZE',2,0);
INSERT INTO "study_directions" VALUES(3,'MAXIMIZE',3,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["validation_accuracy"]');
INSERT INTO "study_system_attributes" VALUES(2,2,'study:metric_names','["validation_accuracy"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'hpsearch:study','"b881b820-a0b3-48de-ae2d-d85f54c2d728"');
INSERT INTO "study_user_attributes" VALUES(2,1,'hpsearch:fingerprint','"0123456789abcdef"');
INSERT INTO "study_user_attributes" VALUES(3,1,'hpsearch:version','"0.2.0"');
INSERT INTO "study_user_attributes" VALUES(4,2,'hpsearch:study','"4ca0b40e-974b-4012-95e0-e1ab7c07ac1c"');
INSERT INTO "study_user_attributes" VALUES(5,2,'hpsearch:fingerprint','"0123456789abcdef"');
INSERT INTO "study_user_attributes" VALUES(6,2,'hpsearch:version','"0.2.0"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,0,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,1,0.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,2,0,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,1,0.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,3,0,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,3,1,0.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,4,0,NULL,'NAN');
INSERT INTO "trial_intermediate_values" VALUES(8,4,1,1.0e-300,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,5,0,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,5,1,0.5,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'learning_rate',1.0e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(2,1,'model.dropout',0.0,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(3,1,'training.batch_size',16.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(4,1,'model.activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
INSERT INTO "trial_params" VALUES(5,2,'learning_rate',1.25992104989487317169e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(6,2,'model.dropout',0.125,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(7,2,'training.batch_size',17.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(8,2,'model.activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
INSERT INTO "trial_params" VALUES(9,3,'learning_rate',1.44224957030740833638e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(10,3,'model.dropout',0.25,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(11,3,'training.batch_size',18.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(12,3,'model.activation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
INSERT INTO "trial_params" VALUES(13,4,'learning_rate',1.58740105196819925102e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(14,4,'model.dropout',0.375,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(15,4,'training.batch_size',19.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(16,4,'model.activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
INSERT INTO "trial_params" VALUES(17,5,'learning_rate',1.70997594667669666106e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(18,5,'model.dropout',0.5,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(19,5,'training.batch_size',20.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(20,5,'model.activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
INSERT INTO "trial_params" VALUES(21,6,'learning_rate',1.81712059283213965815e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(22,6,'model.dropout',0.0,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(23,6,'training.batch_size',21.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(24,6,'model.activation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
INSERT INTO "trial_params" VALUES(25,7,'learning_rate',1.91293118277238876788e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(26,7,'model.dropout',0.125,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(27,7,'training.batch_size',22.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(28,7,'model.activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
INSERT INTO "trial_params" VALUES(29,8,'learning_rate',2.0e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(30,8,'model.dropout',0.25,'{"name": "FloatDistribution", "attributes": {"step": 0.125, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(31,8,'training.batch_size',23.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 16, "high": 256}}');
INSERT INTO "trial_params" VALUES(32,8,'model.activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh", "elu"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,9,'fixed_params','{"learning_rate": 0.5}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'verdict','"healthy"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'epochs','2');
INSERT INTO "trial_user_attributes" VALUES(3,1,'worker','"ann"');
INSERT INTO "trial_user_attributes" VALUES(4,2,'verdict','"healthy"');
INSERT INTO "trial_user_attributes" VALUES(5,2,'epochs','2');
INSERT INTO "trial_user_attributes" VALUES(6,2,'worker','"ann"');
INSERT INTO "trial_user_attributes" VALUES(7,3,'verdict','"healthy"');
INSERT INTO "trial_user_attributes" VALUES(8,3,'epochs','2');
INSERT INTO "trial_user_attributes" VALUES(9,3,'worker','"ann"');
INSERT INTO "trial_user_attributes" VALUES(10,4,'verdict','"healthy"');
INSERT INTO "trial_user_attributes" VALUES(11,4,'epochs','2');
INSERT INTO "trial_user_attributes" VALUES(12,4,'worker','"ann"');
INSERT INTO "trial_user_attributes" VALUES(13,5,'verdict','"healthy"');
INSERT INTO "trial_user_attributes" VALUES(14,5,'epochs','2');
INSERT INTO "trial_user_attributes" VALUES(15,5,'worker','"ann"');
INSERT INTO "trial_user_attributes" VALUES(16,9,'note','"\u2603"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,0,NULL,'INF_NEG');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-30 01:46:49.878006','2026-11-30 01:46:49.914015');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-30 01:46:49.878006','2026-11-30 01:46:49.914015');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-30 01:46:49.878006','2026-11-30 01:46:49.914015');
INSERT INTO "trials" VALUES(4,3,1,'PRUNED','2026-11-30 01:46:49.928016','2026-11-30 01:46:49.937994');
INSERT INTO "trials" VALUES(5,4,1,'FAIL','2026-11-30 01:46:49.946001','2026-11-30 01:46:49.950989');
INSERT INTO "trials" VALUES(6,5,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(7,6,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(8,7,1,'RUNNING','2026-11-30 01:46:49.957990',NULL);
INSERT INTO "trials" VALUES(9,8,1,'WAITING',NULL,NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX hpsearch_leases_of_study ON hpsearch_trials (study_key, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX hpsearch_leases_of_worker ON hpsearch_trials (worker, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX hpsearch_parts_of_blob ON hpsearch_data (digest);
COMMIT;
