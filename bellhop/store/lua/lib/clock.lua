-- Redis's clock, unix µs: the same for all processes, whatever their own clocks show.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Writes a moment (unix µs) as RQ does. Days are counted from 1 March of the year 0, so that leap days come last.
local function iso(us)
  local seconds = math.floor(us / 1000000)
  local day = math.floor(seconds / 86400) + 719468
  local era = math.floor(day / 146097)
  local of_era = day - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ',
    era * 400 + year + (month < 10 and 0 or 1), month < 10 and month + 3 or month - 9,
    of_year - math.floor((153 * month + 2) / 5) + 1,
    math.floor(seconds / 3600) % 24, math.floor(seconds / 60) % 60, seconds % 60, us % 1000000)
end
