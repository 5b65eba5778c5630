ALTER TABLE clinics ENABLE ROW LEVEL SECURITY;
ALTER TABLE staff ENABLE ROW LEVEL SECURITY;
ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
ALTER TABLE visits ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON clinics, staff, patients, visits FROM anon;

CREATE POLICY "staff sees its clinic" ON clinics FOR SELECT TO authenticated
  USING (id IN (SELECT internal.clinics_of_caller()));

CREATE POLICY "staff sees colleagues" ON staff FOR SELECT TO authenticated
  USING (user_id = auth.uid() OR clinic_id IN (SELECT internal.clinics_of_caller()));
CREATE POLICY "doctors manage staff" ON staff FOR ALL TO authenticated
  USING (internal.role_in(clinic_id) = 'doctor') WITH CHECK (internal.role_in(clinic_id) = 'doctor');

CREATE POLICY "staff sees patients" ON patients FOR SELECT TO authenticated
  USING (clinic_id IN (SELECT internal.clinics_of_caller()));
CREATE POLICY "staff admits patients" ON patients FOR INSERT TO authenticated
  WITH CHECK (internal.role_in(clinic_id) IS NOT NULL);
CREATE POLICY "staff corrects patients" ON patients FOR UPDATE TO authenticated
  USING (internal.role_in(clinic_id) IS NOT NULL) WITH CHECK (internal.role_in(clinic_id) IS NOT NULL);

CREATE POLICY "clinical staff reads visits" ON visits FOR SELECT TO authenticated
  USING (internal.role_in(internal.clinic_of(patient_id)) IN ('doctor', 'nurse'));
CREATE POLICY "doctors write visits" ON visits FOR ALL TO authenticated
  USING (internal.role_in(internal.clinic_of(patient_id)) = 'doctor')
  WITH CHECK (internal.role_in(internal.clinic_of(patient_id)) = 'doctor');
