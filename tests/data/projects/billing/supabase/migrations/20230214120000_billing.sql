CREATE TYPE pricing_interval AS ENUM ('day', 'week', 'month', 'year');
CREATE TYPE subscription_status AS ENUM ('trialing', 'active', 'canceled', 'past_due', 'unpaid');

CREATE TABLE users (
  id uuid REFERENCES auth.users NOT NULL PRIMARY KEY,
  full_name text,
  billing_address jsonb,
  credits integer NOT NULL DEFAULT 10 CHECK (credits >= 0)
);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Can view own user data." ON users FOR SELECT USING (auth.uid() = id);
CREATE POLICY "Can update own user data." ON users FOR UPDATE USING (auth.uid() = id);
REVOKE UPDATE ON users FROM anon, authenticated;
GRANT UPDATE (full_name, billing_address) ON users TO authenticated;

CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO public.users (id, full_name) VALUES (new.id, new.raw_user_meta_data ->> 'full_name');
  RETURN new;
END;
$$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE PROCEDURE public.handle_new_user();

-- only the webhook writes these
CREATE TABLE customers (
  id uuid REFERENCES auth.users NOT NULL PRIMARY KEY,
  stripe_customer_id text
);
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;

CREATE TABLE products (
  id text PRIMARY KEY,
  active boolean,
  name text,
  description text,
  metadata jsonb
);
ALTER TABLE products ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Allow public read-only access." ON products FOR SELECT USING (true);

CREATE TABLE prices (
  id text PRIMARY KEY,
  product_id text REFERENCES products,
  active boolean,
  unit_amount bigint,
  currency text CHECK (char_length(currency) = 3),
  "interval" pricing_interval
);
ALTER TABLE prices ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Allow public read-only access." ON prices FOR SELECT USING (true);

CREATE TABLE subscriptions (
  id text PRIMARY KEY,
  user_id uuid REFERENCES auth.users NOT NULL,
  status subscription_status,
  price_id text REFERENCES prices,
  quantity integer,
  current_period_end timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Can only view own subs data." ON subscriptions FOR SELECT USING (auth.uid() = user_id);

CREATE TABLE invoices (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  subscription_id text NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
  total numeric(10, 2) NOT NULL,
  pdf_url text
);
ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Own invoices." ON invoices FOR SELECT
  USING (EXISTS (SELECT 1 FROM subscriptions s WHERE s.id = subscription_id AND s.user_id = auth.uid()));
