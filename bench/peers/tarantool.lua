-- The shop, and one order as a stored procedure. Arguments by environment: ADDRESS, CONSOLE,
-- FOLDER, WAL_MODE, SKUS, PRICE, STOCK.
local env = os.getenv
box.cfg {
    listen = env('ADDRESS'),
    work_dir = env('FOLDER'),
    wal_mode = env('WAL_MODE'),
    memtx_memory = 3 * 1024 * 1024 * 1024,
    net_msg_max = 16384,
    checkpoint_interval = 0,
    log_level = 4,
}
local skus = box.schema.space.create('skus')
skus:create_index('primary', {type = 'hash', parts = {1, 'unsigned'}})
local orders = box.schema.space.create('orders')
orders:create_index('primary', {type = 'hash', parts = {1, 'string'}})
local customers = box.schema.space.create('customers')
customers:create_index('primary', {type = 'hash', parts = {1, 'string'}})
for sku = 1, tonumber(env('SKUS')) do
    skus:insert {sku, tonumber(env('PRICE')), tonumber64(env('STOCK'))}
end

-- 1 accepted, 2 order known, 3 another price, 4 not enough stock.
function place(order, customer, sku, quantity, price)
    local row = skus:get(sku)
    if row[2] ~= price then
        return 3
    end
    if row[3] < quantity then
        return 4
    end
    if orders:get(order) ~= nil then
        return 2
    end
    box.begin()
    orders:insert {order, customer, sku, quantity, price, 1}
    customers:upsert({customer, quantity}, {{'+', 2, quantity}})
    skus:update(sku, {{'-', 3, quantity}})
    box.commit()
    return 1
end

-- What the shop has come to: stock left, orders, units by customer.
function audit()
    local stock, bought = 0, 0
    for _, row in skus:pairs() do
        stock = stock + row[3]
    end
    for _, row in customers:pairs() do
        bought = bought + row[2]
    end
    return string.format('%d %d %d', stock, orders:len(), bought)
end

box.schema.user.grant('guest', 'read,write,execute', 'universe')
require('console').listen(env('CONSOLE'))
