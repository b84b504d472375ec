-- Lets requests in, for all api processes at once: nonces are used up, then rates are asked.
--
-- ARGV: prefix, seconds that a nonce is kept, number of meters, then for each meter its interval and
-- its span in microseconds, then the requests. A request: nonce or '', its timestamp in seconds, how
-- many meters are asked, and for each the number of the meter, from 1, and the sender.
--
-- The answer has one number a request: 0 lets it in; -1 the nonce was used before; -2 the timestamp is
-- from before what is remembered; else 16 times the microseconds to wait, and the place of the meter.
-- What is refused by a meter takes nothing from the others. The clock is that of Redis, for all alike.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local prefix, kept_s, meters = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- Where nothing is remembered (new, or lost with a restart) memory begins now.
local since = tonumber(redis.call('GET', prefix .. 'since'))
if not since then
  since = tonumber(time[1])
  redis.call('SET', prefix .. 'since', since)
end

local function use(nonce, timestamp_s)
  if nonce == '' then return 0 end
  if timestamp_s <= since then return -2 end
  if redis.call('SET', prefix .. 'n:' .. nonce, '', 'NX', 'EX', kept_s) then return 0 end
  return -1
end

local function take(first, last)
  local taken = {}
  for at = first, last, 2 do
    local meter = tonumber(ARGV[at])
    local interval, span = tonumber(ARGV[2 + 2 * meter]), tonumber(ARGV[3 + 2 * meter])
    local key = prefix .. meter .. ':' .. ARGV[at + 1]
    local due = math.max(tonumber(redis.call('GET', key) or 0), now) + interval
    local wait = due - now - span
    if wait > 0 then return math.ceil(wait) * 16 + (at - first) / 2 end
    taken[#taken + 1] = { key, due }
  end
  for _, one in ipairs(taken) do
    local key, due = one[1], one[2]
    redis.call('SET', key, string.format('%.3f', due), 'PX', math.ceil((due - now) / 1000))
  end
  return 0
end

local answers = {}
local at = 4 + 2 * meters
while at <= #ARGV do
  local answer = use(ARGV[at], tonumber(ARGV[at + 1]))
  local first = at + 3
  at = first + 2 * tonumber(ARGV[at + 2])
  if answer == 0 then answer = take(first, at - 1) end
  answers[#answers + 1] = answer
end
return answers
