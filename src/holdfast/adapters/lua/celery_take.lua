-- SPDX-License-Identifier: Apache-2.0
-- celery_take.lua: takes an unacknowledged task out of Celery's hands, in one step with what Celery itself would do.
-- KEYS  1 unacked  2 unacked_index  3 taken
-- ARGV  1 delivery tag  2 what lay there when it was judged
-- returns 1, or 0 when it was acknowledged or given back to its queue meanwhile
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end -- guard: what Celery has back is Celery's
redis.call('RPUSH', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
