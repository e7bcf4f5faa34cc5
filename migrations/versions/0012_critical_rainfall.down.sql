-- Back to rain and critical rainfall on disk alone. `lswarn prime` and running the days again bring them back.

DROP VIEW lswarn.rain_to_go_now;
DROP FUNCTION lswarn.rain_to_go(date, text, text);
DROP FUNCTION lswarn.rain_to_go_in_run(bigint);
DROP FUNCTION lswarn.rain_at(geometry, date, text, text);
DROP FUNCTION lswarn.rain_in_run(bigint, geometry);
DROP TABLE lswarn.run_rain;
DROP TABLE lswarn.asset_critical;
DROP TABLE lswarn.critical_source;
