-- One order: KEYS order, sku, customer; ARGV quantity, price.
-- 1 accepted, 2 order known, 3 another price, 4 not enough stock.
local sku = redis.call('HMGET', KEYS[2], 'price', 'stock')
if sku[1] ~= ARGV[2] then
    return 3
end
if tonumber(sku[2]) < tonumber(ARGV[1]) then
    return 4
end
if redis.call('SETNX', KEYS[1], KEYS[3] .. KEYS[2] .. ':' .. ARGV[1] .. '@' .. ARGV[2]) == 0 then
    return 2
end
redis.call('HINCRBY', KEYS[2], 'stock', -ARGV[1])
redis.call('INCRBY', KEYS[3], ARGV[1])
return 1
