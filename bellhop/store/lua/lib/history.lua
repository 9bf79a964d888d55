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

-- Takes a call's hash as HGETALL returns it. Returns a function that returns all stamps of a name: a list of { at, session }.
-- It also returns the plain fields by name, and the set of all names.
local function stamps_by_name(fields)
  local plain, past, names = {}, {}, {}
  for i = 1, #fields, 2 do
    local at, session, name = read_history_field(fields[i])
    if at then
      past[name] = past[name] or {}
      table.insert(past[name], { at = at, session = session })
      names[name] = true
    else
      plain[fields[i]] = tonumber(fields[i + 1])
      names[fields[i]] = true
    end
  end

  -- Older versions wrote the latest stamp alone, without its session.
  local complete = {}
  local function all_of(name)
    if complete[name] then return complete[name] end
    local stamps, last = past[name] or {}, plain[name]
    for _, stamp in ipairs(stamps) do
      if stamp.at == last then last = nil end
    end
    if last then table.insert(stamps, { at = last, session = '' }) end
    complete[name] = stamps
    return stamps
  end
  return all_of, plain, names
end
