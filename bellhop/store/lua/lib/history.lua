-- A call's hash keeps the latest stamp of each name in a plain field. Each stamp by itself, with the session of its event, is
-- kept in a field of its own: `at:<stamp>:<bytes of the session>:<session>:<name>`. The form is that of
-- bellhop/domain/stamp_history.py.

-- Takes a history field. Returns its stamp, its session and its name; nil for any other field.
local function read_history_field(field)
  local at, length, rest = string.match(field, '^at:(%d+):(%d+):(.*)$')
  if not at then return nil end
  return tonumber(at), string.sub(rest, 1, length), string.sub(rest, length + 2)
end

-- Returns a name for the stamps of one name and session.
local function history_group(session, name)
  return #session .. ':' .. session .. ':' .. name
end

-- Takes a call's hash as HGETALL returns it, and a set of groups. Returns the fields of these groups without the latest `kept`
-- of each.
local function outdated_history(fields, groups, kept)
  local by_group, outdated = {}, {}
  for i = 1, #fields, 2 do
    local at, session, name = read_history_field(fields[i])
    local group = at and history_group(session, name)
    if groups[group or ''] then
      by_group[group] = by_group[group] or {}
      table.insert(by_group[group], { at = at, field = fields[i] })
    end
  end
  for _, stamps in pairs(by_group) do
    table.sort(stamps, function(a, b) return a.at > b.at end)
    for i = kept + 1, #stamps do outdated[#outdated + 1] = stamps[i].field end
  end
  return outdated
end

local NO_STAMPS = {}

-- Takes a call's hash as HGETALL returns it. Returns:
-- a function that returns all stamps of a name: a list of { at, session };
-- a function that returns the plain field of a name as a number, or nil;
-- a function that returns the set of all names.
-- A call may have thousands of stamps, and only a few names are needed: so stamps are read when their name is asked for.
local function stamps_by_name(fields)
  local plain, past = {}, {}
  for i = 1, #fields, 2 do
    local field = fields[i]
    local length, session_at
    if string.sub(field, 1, 3) == 'at:' then length, session_at = string.match(field, '^at:%d+:(%d+):()') end
    if length then
      local name = string.sub(field, session_at + length + 1)
      local of_name = past[name]
      if of_name then of_name[#of_name + 1] = i else past[name] = { i } end
    else
      plain[field] = fields[i + 1]
    end
  end

  local function number_of(name) return tonumber(plain[name]) end

  -- Older versions wrote the latest stamp alone, without its session.
  local complete = {}
  local function all_of(name)
    if complete[name] then return complete[name] end
    if not past[name] and not plain[name] then return NO_STAMPS end
    local stamps, last = {}, number_of(name)
    for _, i in ipairs(past[name] or {}) do
      local at, session = read_history_field(fields[i])
      stamps[#stamps + 1] = { at = at, session = session }
      if at == last then last = nil end
    end
    if last then stamps[#stamps + 1] = { at = last, session = '' } end
    complete[name] = stamps
    return stamps
  end

  local function all_names()
    local names = {}
    for name in pairs(plain) do names[name] = true end
    for name in pairs(past) do names[name] = true end
    return names
  end
  return all_of, number_of, all_names
end
