//! One request budget for all replicas: what each may send by itself, and what it has to ask leave for.
//!
//! Every replica promises how many requests it sends by itself in a window at most, until some instant; what is not
//! promised is a pool of which replicas take leases, one send each. Whoever has not renewed its promise may be cut off from
//! here and send its even share: that much is kept back for it, for [`REMEMBERED`]. So the sum never exceeds the limit,
//! whoever is cut off from whom, and a replica that was cut off has its share again once its promise has ended. For those
//! that could be there and were never heard of, only what a promise comes to is kept back: most of the time they are not. (In the first window they may not have been heard yet.)
//!
//! One script does it, at Redis's own time. It opens the pool only after a window in the same life of the same server: one
//! that has just started, or taken over from another, does not know what was sent before.

use std::time::Duration;

use redis::Script;

use super::{BOUND, link::Link};

/// How long a send counts here: the window of the budget, and as long as a lease may wait to be spent.
pub(crate) const WINDOW: Duration = Duration::from_secs(62);
/// How long a lease may wait to be spent, from when it was asked for.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// How long what is known here outlasts the last replica that says anything.
const REMEMBERED: Duration = Duration::from_mins(10);

/// What a replica says of itself, and asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Requests that all replicas together may send in a window.
    pub(crate) limit: usize,
    /// How many replicas there are at most.
    pub(crate) replicas: usize,
    /// How many requests of a window it wants to send by itself, without asking.
    pub(crate) promise: usize,
    /// Until when it keeps to that, in milliseconds of the fleet's clock; 0 while it does not know that.
    pub(crate) until: i64,
    /// How many sends it asks leave for.
    pub(crate) wanted: usize,
    /// How much longer the upstream asked it to stay away.
    pub(crate) gate: Duration,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leased {
    /// The fleet's clock, in milliseconds.
    pub(crate) now: i64,
    /// How many requests of a window it may send by itself, if its promise was taken.
    pub(crate) promised: Option<usize>,
    /// How many sends it has leave for.
    pub(crate) granted: usize,
    /// How many more there are leases for.
    pub(crate) left: usize,
    /// How many were leased in the last window, by all.
    pub(crate) taken: usize,
    /// How long until there is another lease, if there is none now.
    pub(crate) frees_in: Duration,
    /// How much longer the upstream asked some replica to stay away.
    pub(crate) gate: Duration,
    /// How many replicas there are.
    pub(crate) replicas: usize,
}

/// `KEYS`: a hash of what is known; a list of leases, the oldest first, each `instant:count`; a hash of promises by
/// replica, each `count:until`. `ARGV`: the replica, then [`Ask`] in order, then the window and how long all is remembered.
/// All times are milliseconds.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, limit, replicas, promise, promised_until, wanted, gate, window, remembered =
    ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]),
    tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

-- Whatever does not fit together is of another life of the server, or somebody else's.
for index, kind in ipairs({ 'hash', 'list', 'hash' }) do
    local found = redis.call('TYPE', KEYS[index]).ok
    if found ~= kind and found ~= 'none' then redis.call('DEL', KEYS[index]) end
end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or 'unknown'
local taken = tonumber(redis.call('HGET', KEYS[1], 'taken') or 0) or 0
if redis.call('HGET', KEYS[1], 'run') ~= run or (taken > 0 and redis.call('EXISTS', KEYS[2]) == 0) then
    redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[1], 'run', run, 'since', now)
    taken = 0
end
local opens_in = (tonumber(redis.call('HGET', KEYS[1], 'since')) or now) + window - now

local gate_until = tonumber(redis.call('HGET', KEYS[1], 'gate') or 0) or 0
-- What a replica only repeats moves by the time it was under way.
if gate > 0 and now + gate > gate_until + 100 then
    gate_until = now + gate
    redis.call('HSET', KEYS[1], 'gate', gate_until)
end

local oldest = redis.call('LINDEX', KEYS[2], 0)
while oldest do
    local at, count = string.match(oldest, '(%d+):(%d+)')
    if at and tonumber(at) > now - window then break end
    redis.call('LPOP', KEYS[2])
    taken = taken - (tonumber(count) or 0)
    oldest = redis.call('LINDEX', KEYS[2], 0)
end

-- Those whose promise holds for a window yet. The others may be cut off: until the end of it they may send what they have
-- promised, and from then on an even share.
local alive, silent, kept_back, mine = 0, 0, 0, nil
local promises = redis.call('HGETALL', KEYS[3])
for index = 1, #promises, 2 do
    local count, ends = string.match(promises[index + 1], '(%d+):(%d+)')
    if not ends or tonumber(ends) + remembered < now then
        redis.call('HDEL', KEYS[3], promises[index])
    else
        local is_alive, has_ended = tonumber(ends) - window > now, tonumber(ends) < now
        if is_alive then alive = alive + 1 else silent = silent + 1 end
        if promises[index] == me then
            mine = { count = has_ended and 0 or tonumber(count), ends = tonumber(ends), alive = is_alive }
        elseif not has_ended then
            kept_back = kept_back + tonumber(count)
        end
    end
end
-- What is kept back for those that there can be beside those that are alive: no more than `replicas` are.
local function of_others()
    local share = math.floor(limit / math.max(replicas, alive))
    local absent = math.max(0, replicas - alive)
    -- At first those who were there before may not have been heard yet.
    local of_unheard = opens_in > -window and share or math.floor(share / 4)
    return math.min(absent, silent) * share + math.max(0, absent - silent) * of_unheard
end

local promised = -1
if opens_in <= 0 and promised_until - window > now and (not mine or promised_until >= mine.ends) then
    if not (mine and mine.alive) then
        alive = alive + 1
        if mine then silent = silent - 1 end
    end
    local free = limit - taken - kept_back - of_others()
    promised = math.max(0, math.min(promise, free))
    mine = { count = promised }
    redis.call('HSET', KEYS[3], me, string.format('%d:%d', promised, promised_until))
end
local left = limit - taken - kept_back - (mine and mine.count or 0) - of_others()
if opens_in > 0 or gate_until > now then left = 0 end
local granted = math.max(0, math.min(wanted, left))
if granted > 0 then
    redis.call('RPUSH', KEYS[2], string.format('%d:%d', now, granted))
    taken = taken + granted
end
redis.call('HSET', KEYS[1], 'taken', taken)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, remembered) end

local frees_in = math.max(0, opens_in, gate_until - now)
if frees_in == 0 and oldest then frees_in = math.max(0, string.match(oldest, '%d+') + window - now) end
return { now, promised, granted, math.max(0, left - granted), taken, frees_in, math.max(0, gate_until - now), alive }
";

/// Runs the script for a replica.
pub(super) async fn lease(link: &Link, prefix: &str, replica: &str, ask: &Ask) -> Option<Leased> {
    let script = Script::new(SCRIPT);
    let mut request = script.key(format!("{prefix}budget"));
    request
        .key(format!("{prefix}budget:leases"))
        .key(format!("{prefix}budget:promises"))
        .arg(replica)
        .arg(ask.limit)
        .arg(ask.replicas)
        .arg(ask.promise)
        .arg(ask.until)
        .arg(ask.wanted)
        .arg(super::millis(ask.gate))
        .arg(super::millis(WINDOW))
        .arg(super::millis(REMEMBERED));
    let told: [i64; 8] = link.invoke("lease", BOUND, &request).await?;
    let count = |number: i64| usize::try_from(number).unwrap_or_default();
    let length = |number: i64| Duration::from_millis(u64::try_from(number).unwrap_or_default());
    Some(Leased {
        now: told[0],
        promised: usize::try_from(told[1]).ok(),
        granted: count(told[2]),
        left: count(told[3]),
        taken: count(told[4]),
        frees_in: length(told[5]),
        gate: length(told[6]),
        replicas: count(told[7]),
    })
}
