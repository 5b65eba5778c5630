-- Whether anon gets SELECT on each new table that postgres creates in schema public: the switch "expose new tables".
select count(*) > 0 as exposed
from pg_default_acl as d
cross join lateral aclexplode(d.defaclacl) as a
where d.defaclobjtype = 'r'
  and d.defaclnamespace = to_regnamespace('public')
  and d.defaclrole = to_regrole('postgres')
  and a.grantee = to_regrole('anon')
  and a.privilege_type = 'SELECT'
