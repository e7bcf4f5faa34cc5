-- What is known of drift is lost; `lswarn models drift` tells it again.

DROP TABLE lswarn.model_drift;
