CREATE TYPE app_role AS ENUM ('admin', 'agent', 'readonly');

CREATE TABLE tenants (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL,
  plan text NOT NULL DEFAULT 'trial' CHECK (plan IN ('trial', 'standard', 'enterprise')),
  settings jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
  tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
  role app_role NOT NULL DEFAULT 'agent',
  active boolean NOT NULL DEFAULT true,
  PRIMARY KEY (tenant_id, user_id)
);

-- Auth calls this for every token, see the dashboard: Authentication > Hooks
CREATE OR REPLACE FUNCTION custom_access_token_hook(event jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
  claims jsonb := event -> 'claims';
  m memberships;
BEGIN
  SELECT * INTO m FROM memberships WHERE user_id = (event ->> 'user_id')::uuid AND active ORDER BY tenant_id LIMIT 1;
  IF FOUND THEN
    claims := jsonb_set(claims, '{tenant_id}', to_jsonb(m.tenant_id));
    claims := jsonb_set(claims, '{user_role}', to_jsonb(m.role));
  END IF;
  RETURN jsonb_set(event, '{claims}', claims);
END;
$$;

GRANT USAGE ON SCHEMA public TO supabase_auth_admin;
GRANT EXECUTE ON FUNCTION custom_access_token_hook TO supabase_auth_admin;
REVOKE EXECUTE ON FUNCTION custom_access_token_hook FROM authenticated, anon, public;
GRANT SELECT ON memberships TO supabase_auth_admin;

CREATE OR REPLACE FUNCTION current_tenant_id() RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT nullif(auth.jwt() ->> 'tenant_id', '')::uuid
$$;

CREATE OR REPLACE FUNCTION is_tenant_admin() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce(auth.jwt() ->> 'user_role' = 'admin', false)
$$;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Members see their tenant" ON tenants FOR SELECT TO authenticated USING (id = current_tenant_id());
CREATE POLICY "Admins rename their tenant" ON tenants FOR UPDATE TO authenticated
  USING (id = current_tenant_id() AND is_tenant_admin()) WITH CHECK (id = current_tenant_id());
REVOKE UPDATE ON tenants FROM anon, authenticated;
GRANT UPDATE (name, settings) ON tenants TO authenticated;

CREATE POLICY "Members see their colleagues" ON memberships FOR SELECT TO authenticated
  USING (tenant_id = current_tenant_id());
CREATE POLICY "Admins manage members" ON memberships FOR ALL TO authenticated
  USING (tenant_id = current_tenant_id() AND is_tenant_admin())
  WITH CHECK (tenant_id = current_tenant_id() AND is_tenant_admin());
CREATE POLICY "Auth reads memberships" ON memberships FOR SELECT TO supabase_auth_admin USING (true);
