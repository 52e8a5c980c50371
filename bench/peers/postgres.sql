-- The shop: SKUs with stock that are updated in place, orders, units per customer.
CREATE TABLE skus (
    sku bigint PRIMARY KEY, price bigint NOT NULL, stock bigint NOT NULL CHECK (stock >= 0)
) WITH (fillfactor = 10);
CREATE TABLE orders (
    id uuid PRIMARY KEY, customer uuid NOT NULL, sku bigint NOT NULL, quantity int NOT NULL,
    price bigint NOT NULL, state smallint NOT NULL DEFAULT 1
);
CREATE TABLE customers (id uuid PRIMARY KEY, bought bigint NOT NULL);

-- One order: 1 accepted, 2 order known; another price or not enough stock raises, which undoes it.
-- The SKU comes last, so that the row that everyone wants is locked for the shortest time.
CREATE FUNCTION place(new_id uuid, buyer uuid, wanted bigint, units int, seen bigint) RETURNS int
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orders (id, customer, sku, quantity, price)
        VALUES (new_id, buyer, wanted, units, seen) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 2;
    END IF;
    INSERT INTO customers AS c (id, bought) VALUES (buyer, units)
        ON CONFLICT (id) DO UPDATE SET bought = c.bought + units;
    UPDATE skus SET stock = stock - units
        WHERE sku = wanted AND price = seen AND stock >= units;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another price, or not enough stock';
    END IF;
    RETURN 1;
END
$$;
